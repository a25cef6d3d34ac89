"""Names of the files in a report's folder (`run.report_dir`)."""

PAGE, REPORT, FINDINGS = "report.html", "report.json", "findings.json"
SHEET, MOUTH, MEMORY = PICTURES = ("contact-sheet.png", "mouth-vs-voice.png", "memory-and-progress.png")
SOURCE, RESULT = FILMS = ("source.mp4", "result.mp4")
ALL = (PAGE, REPORT, FINDINGS, *PICTURES, *FILMS)
