// Server-sent events, read from a fetch: unlike EventSource it shows the status, and the page decides
// when to come back. (A proxy's 502 closes an EventSource for ever.)

import type { Frame, FrameData } from "./types";

export class FrameReader {
  private held = "";
  private at = "";
  private event = "";
  private data: string[] = [];

  /** The frames that `text` completes; heartbeats and frames of unknown form are left out. */
  feed(text: string): Frame[] {
    const found: Frame[] = [];
    const lines = (this.held + text).split("\n");
    this.held = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        const frame = this.finish();
        if (frame) found.push(frame);
      } else if (line.startsWith("data: ")) this.data.push(line.slice(6));
      else if (line.startsWith("id: ")) this.at = line.slice(4);
      else if (line.startsWith("event: ")) this.event = line.slice(7);
    }
    return found;
  }

  private finish(): Frame | null {
    const { at, event, data } = this;
    this.at = this.event = "";
    this.data = [];
    if (event || data.length === 0) return null;
    try {
      return { at, data: JSON.parse(data.join("\n")) as FrameData };
    } catch {
      return null;
    }
  }
}

/** Whether position `a` lies behind `b`; every position lies behind none. */
export function isBehind(a: string, b: string): boolean {
  if (!b) return true;
  const [left, right] = [a, b].map((text) => text.split("-").map(Number)) as [number[], number[]];
  for (let index = 0; index < 3; index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return false;
}
