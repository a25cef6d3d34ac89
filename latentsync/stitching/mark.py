"""The mark of origin in a file's metadata: that a model altered the video, in words and for machines.

The words and IPTC's URI stand in the comment, which ``ffmpeg -c copy`` carries from each of our
containers to the others; MP4 and MOV have the same in XMP too, where asset managers look for it.
"""

import json
import struct
from pathlib import Path
from uuid import UUID

from latentsync.media.audio import MOV_SUFFIXES
from latentsync.media.ffmpeg import run
from latentsync.media.opening import ffprobe_command
from latentsync.records import Record
from latentsync.settings import MarkSettings

# IPTC NewsCodes: what a camera took, and a trained model changed in part.
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
COMMENT = f"The lips in this video were altered by a model. Digital source type: {DIGITAL_SOURCE_TYPE}"
XMP_BOX = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac")  # XMP specification, part 3, ISO base media files
XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
   Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


class MetadataMark(Record):
    """What a file's metadata say of its origin."""

    altered: bool  # IPTC's type, in the comment or in XMP
    aigc: str | None  # GB 45438's tag as it stands there


def metadata_tags(mark: MarkSettings, produce_id: str) -> dict[str, str]:
    """The container's tags, to be written by the muxer. ``produce_id`` names this content."""
    tags = {"comment": COMMENT} if mark.metadata else {}
    if mark.aigc_producer:
        tags["AIGC"] = _aigc(mark.aigc_producer, produce_id)
    return tags


def append_xmp(path: Path) -> None:
    """Add the XMP packet as the last box of an MP4 or MOV file; other containers have no place for it."""
    if path.suffix.lower() in MOV_SUFFIXES:
        packet = XMP.encode()
        header = struct.pack(">I4s16s", 24 + len(packet), b"uuid", XMP_BOX.bytes)
        with open(path, "ab") as file:
            file.write(header + packet)


def read_mark(path: Path) -> MetadataMark:
    """What the metadata of a media file say. Raises InputError when it cannot be read."""
    command = ffprobe_command(path, "-export_xmp", "1", "-show_entries", "format_tags")
    found = json.loads(run(command, path, probing=True))["format"].get("tags", {})
    tags = {name.lower(): value for name, value in found.items()}
    said = tags.get("comment", "") + tags.get("xmp", "")
    return MetadataMark(altered=DIGITAL_SOURCE_TYPE in said, aigc=tags.get("aigc"))


def _aigc(producer: str, produce_id: str) -> str:
    """GB 45438-2025, annex E: label 1 is "made by AI"; who spreads the file adds the last three."""
    fields = {
        "Label": "1",
        "ContentProducer": producer,
        "ProduceID": produce_id,
        "ReservedCode1": "",
        "ContentPropagator": "",
        "PropagateID": "",
        "ReservedCode2": "",
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
