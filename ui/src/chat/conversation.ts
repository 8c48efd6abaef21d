// One session's conversation: the turns that have been read, and those that the stream brings.

import { computed, signal } from "@preact/signals";
import { api, ApiError } from "../api/client";
import { FrameReader, isBehind } from "../api/sse";
import { type Frame, type SessionInfo, type TurnInfo, isFinished } from "../api/types";
import { Turn } from "./turn";

const PAGE = 20;

export class Conversation {
  readonly turns = signal<Turn[]>([]);
  readonly info = signal<SessionInfo | null>(null);
  readonly state = signal<"loading" | "ready" | "gone" | "failed">("loading");
  readonly failure = signal<ApiError | null>(null);
  readonly loadingEarlier = signal(false);
  /** There are turns before the first one that has been read. */
  readonly hasEarlier = computed(() => (this.turns.value[0]?.number ?? 1) > 1);
  readonly busy = computed(() => this.turns.value.some((turn) => !isFinished(turn.state.value)));
  /** The keys of all turns: whether one has been run again is among them. */
  readonly keys = signal<ReadonlySet<string>>(new Set());
  /** What the stream has brought; it goes on from here. */
  position = "";

  constructor(readonly id: string) {}

  /** Read what the session consists of: its last turns as rows. Their answers come by the stream. */
  async load(): Promise<boolean> {
    this.state.value = this.turns.value.length ? "ready" : "loading";
    try {
      const info = await api.session(this.id);
      const last = info.last_turn?.turn ?? 0;
      const first = Math.max(0, last - PAGE);
      const { turns } = last ? await api.turns(this.id, Math.max(0, first - 1), PAGE + 1) : { turns: [] };
      this.info.value = info;
      this.position = first > 0 ? endOf(turns[0]) : "";
      this.turns.value = turns.filter((turn) => turn.turn > first).map((turn) => Turn.from(turn));
      this.noteKeys(turns);
      this.state.value = "ready";
      return true;
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  private fail(error: unknown): void {
    const failure = ApiError.from(error);
    this.failure.value = failure;
    this.state.value = failure.code === "SESSION_NOT_FOUND" ? "gone" : "failed";
  }

  async refresh(): Promise<void> {
    try {
      this.info.value = await api.session(this.id);
    } catch {
      // The stream tells when the session is gone.
    }
  }

  /** Let go of what was read of earlier turns: a conversation that is shown anew is shown at its end. */
  shorten(): void {
    if (this.turns.value.length > PAGE) this.turns.value = this.turns.value.slice(-PAGE);
  }

  /** Take in frames: the turns that ended with them. */
  apply(frames: Frame[]): Turn[] {
    const ended: Turn[] = [];
    for (const { at, data } of frames) {
      if (at && !isBehind(at, this.position)) continue;
      if (at) this.position = at;
      if (!("turn" in data)) continue;
      const turn = this.find(data.turn) ?? (data.type === "turn" ? this.add(new Turn(data.turn, data.prompt, data.created)) : null);
      if (data.type === "turn" && turn?.state.value === "queued") turn.state.value = "running";
      turn?.apply(data);
      if (turn && (data.type === "done" || data.type === "error")) ended.push(turn);
    }
    return ended;
  }

  find(number: number): Turn | undefined {
    return this.turns.value.findLast((turn) => turn.number === number);
  }

  /** A row that this tab was given, or asked for. */
  learn(info: TurnInfo): Turn {
    this.noteKeys([info]);
    const known = this.find(info.turn);
    if (!known) return this.add(Turn.from(info));
    known.learn(info);
    return known;
  }

  private noteKeys(rows: TurnInfo[]): void {
    const found = rows.map((row) => row.request_id).filter((key) => key !== null);
    if (found.some((key) => !this.keys.value.has(key))) this.keys.value = new Set([...this.keys.value, ...found]);
  }

  private add(turn: Turn): Turn {
    this.turns.value = [...this.turns.value, turn].sort((a, b) => a.number - b.number);
    return turn;
  }

  /** Read the page of turns before the first one. */
  async loadEarlier(): Promise<void> {
    const first = this.turns.value[0]?.number ?? 1;
    if (this.loadingEarlier.value || first <= 1) return;
    this.loadingEarlier.value = true;
    try {
      const from = Math.max(1, first - PAGE);
      const { turns } = await api.turns(this.id, Math.max(0, from - 2), first - from + 1);
      const rows = turns.filter((row) => row.turn >= from && row.turn < first);
      const found = rows.map((row) => Turn.from(row));
      await this.replay(from > 1 ? endOf(turns[0]) : "", found);
      this.turns.value = [...found, ...this.turns.value];
      this.noteKeys(rows);
    } catch {
      // Scrolling there again asks again.
    } finally {
      this.loadingEarlier.value = false;
    }
  }

  /** Read the events of turns that have ended from the session's stream, and leave it behind them. */
  private async replay(after: string, turns: Turn[]): Promise<void> {
    const last = turns.at(-1);
    if (!last) return;
    const abort = new AbortController();
    const response = await fetch(api.eventsHref(this.id, after), { signal: abort.signal, cache: "no-store" });
    if (!response.ok || !response.body) throw new ApiError(response.status, "HTTP", response.statusText);
    const reader = response.body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader();
    const parser = new FrameReader();
    try {
      while (!last.streamed) {
        const { done, value } = await reader.read();
        if (done) break;
        for (const { data } of parser.feed(value)) {
          if ("turn" in data && data.type !== "turn") turns.find((turn) => turn.number === data.turn)?.apply(data);
        }
      }
    } finally {
      abort.abort();
    }
  }
}

/** The position of a turn's last frame. */
function endOf(turn: TurnInfo | undefined): string {
  if (!turn) return "";
  return isFinished(turn.state) ? `${turn.turn}-${(turn.bytes ?? 0) + 1}` : `${turn.turn}-0`;
}
