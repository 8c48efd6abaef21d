// Shares the time of a frame among all that draw: six milliseconds, then the browser has its turn.

type Work = (budget: () => boolean) => boolean;

const SLICE = 6;
const queue: Work[] = [];
let asked = false;

export function schedule(work: Work): void {
  queue.push(work);
  ask();
}

function ask(): void {
  if (asked) return;
  asked = true;
  // Frames stop in hidden tabs; timers go on there, if slowly.
  if (document.visibilityState === "hidden") setTimeout(run, 100);
  else requestAnimationFrame(run);
}

function run(): void {
  asked = false;
  const until = performance.now() + SLICE;
  const budget = () => performance.now() < until;
  const again: Work[] = [];
  while (queue.length > 0 && budget()) {
    const work = queue.shift() as Work;
    if (work(budget)) again.push(work);
  }
  queue.unshift(...again);
  if (queue.length > 0) ask();
}

document.addEventListener("visibilitychange", () => {
  // A frame that was asked for while visible does not come while hidden.
  if (document.visibilityState === "hidden" && asked) {
    asked = false;
    ask();
  }
});
