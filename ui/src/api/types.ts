// What the public API says, as far as the page reads it.

export interface SessionInfo {
  session_id: string;
  created_at: number;
  last_activity: number;
  message_count: number;
  work_directory: string;
  title?: string | null;
  pinned?: boolean;
  /** Seconds since the epoch; null for a session that does not expire. */
  expires_at?: number | null;
  last_turn?: { turn: number; state: TurnState } | null;
}

/** Who asks, and by what. */
export interface LoginInfo {
  /** Empty for the operator. */
  principal: string;
  role: "user" | "admin";
  via: "local" | "token" | "cookie" | "proxy";
}

export type TurnState =
  | "queued"
  | "running"
  | "completed"
  | "failed"
  | "cancelled"
  | "timed_out"
  | "interrupted"
  | "output_limit"
  | "quota_exceeded";

export function isFinished(state: TurnState): boolean {
  return state !== "queued" && state !== "running";
}

/** The facts of a turn's end: of its last frame, and of its row. */
export interface Ending {
  reason?: TurnState;
  error?: string;
  code?: string;
  suggestions?: string[];
  details?: string;
  exit_code?: number | null;
  signal?: number | null;
  bytes?: number;
  seconds?: number | null;
}

export interface TurnInfo extends Ending {
  session_id: string;
  turn: number;
  state: TurnState;
  prompt: string;
  request_id: string | null;
  created_at: number;
  started_at: number | null;
  ended_at: number | null;
}

export type ToolState = "started" | "output" | "completed" | "failed";

/** One event of a session's stream. Those without a position (`at`) may be missed. */
export interface Frame {
  at: string;
  data: FrameData;
}

export type FrameData =
  | { type: "turn"; turn: number; prompt: string; created: number }
  | { type: "queued"; turn: number; place: number }
  | { type: "started"; turn: number }
  | { type: "chunk"; turn: number; message: string }
  | ToolStep
  | { type: "notice"; turn: number; message: string; code?: string }
  | ({ type: "done" | "error"; turn: number } & Ending)
  | { type: "session_deleted" }
  | { type: "reconnect"; retry_after?: number };

export interface ToolStep {
  type: "tool";
  turn: number;
  id: string;
  state: ToolState;
  name?: string;
  trusted?: boolean;
  about?: Record<string, string>;
  output?: string;
  seconds?: number | null;
}

export interface FileInfo {
  name: string;
  path: string;
  size: number;
  modified_time: number;
  href: string;
}

export interface FileList {
  files: FileInfo[];
  file_count: number;
  truncated?: boolean;
}

export interface Health {
  status: string;
  version: string;
  qcli_available: boolean;
  agent?: string | { name?: string; version?: string; demo?: boolean };
  isolation?: string | { level?: string };
  active_processes?: number;
}
