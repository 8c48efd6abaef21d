// What tabs and the hub say to each other. The hub lives once per browser and holds the event streams;
// see hub.ts. All of it is plain data, so that it passes any channel.

import type { Frame } from "../api/types";

export type StreamState =
  | "connecting" // the first attempt, or the next one within a moment
  | "live"
  | "waiting" // it failed; the next attempt is due at `retryAt`
  | "paused" // too many tabs: others have the streams for now
  | "gone" // the session does not exist (any more)
  | "reset" // the server does not know the position: read the session anew
  | "denied"; // the server wants a login

/** Something a tab did that other tabs want to know of. */
export type News =
  | { kind: "sessions" }
  | { kind: "submitted"; session: string; turn: number }
  | { kind: "files"; session: string };

export type ToHub =
  | { type: "hello"; lock: string }
  | { type: "watch"; session: string; after: string }
  | { type: "unwatch" }
  | { type: "active" } // its user looks at this tab now
  | { type: "wake" } // the machine woke up or is online again: do not wait for timers
  | { type: "news"; news: News }
  | { type: "bye" };

export type FromHub =
  | { type: "ready" } // a hub has taken over: say again what you watch
  | { type: "frames"; session: string; frames: Frame[] }
  | { type: "state"; session: string; state: StreamState; retryAt: number }
  | { type: "news"; news: News };
