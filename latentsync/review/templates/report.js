const [source, result] = document.querySelectorAll("video");
const play = document.getElementById("play"), scrub = document.getElementById("scrub");
const time = document.getElementById("time"), now = document.getElementById("now"), track = document.getElementById("track");
const marks = document.querySelectorAll(".segments button"), sections = document.querySelectorAll(".segment");
const shown = () => Math.min(frames - 1, Math.floor(result.currentTime * fps + 0.01));

function go(frame) {
  const seconds = (Math.max(0, Math.min(frames - 1, frame)) + 0.5) / fps; // the middle of a frame: no rounding shows its neighbour
  source.currentTime = result.currentTime = seconds;
}

function show() {
  const frame = shown(), seconds = frame / fps;
  scrub.value = frame;
  time.textContent = `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
  now.style.left = `${100 * frame / frames}%`;
  const here = segments.findLastIndex(start => start <= frame);
  if (!marks[here].hasAttribute("aria-current")) {
    marks.forEach((mark, index) => mark.toggleAttribute("aria-current", index === here));
    sections.forEach((section, index) => { section.hidden = index !== here; });
  }
}

function follow() {
  if (result.paused) return;
  if (Math.abs(source.currentTime - result.currentTime) > 1.5 / fps) source.currentTime = result.currentTime;
  show();
  requestAnimationFrame(follow);
}

play.onclick = () => result.paused ? result.play() : result.pause();
result.onplay = () => { source.play(); play.textContent = "Pause"; follow(); };
result.onpause = () => { source.pause(); source.currentTime = result.currentTime; play.textContent = "Play"; show(); };
result.onseeked = show;
scrub.oninput = () => go(+scrub.value);
document.getElementById("back").onclick = () => go(shown() - 1);
document.getElementById("forth").onclick = () => go(shown() + 1);
marks.forEach((mark, index) => { mark.onclick = event => { event.stopPropagation(); go(segments[index]); }; });
track.onclick = event => {
  const box = track.getBoundingClientRect();
  go(Math.floor(frames * (event.clientX - box.left) / box.width));
};
document.onkeydown = event => {
  if (event.target.closest("button, input")) return;
  if (event.key === " ") { event.preventDefault(); play.click(); }
  if (event.key === "ArrowLeft") go(shown() - 1);
  if (event.key === "ArrowRight") go(shown() + 1);
};
show();
