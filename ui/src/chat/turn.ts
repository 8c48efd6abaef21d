// A turn as the page knows it: built from the frames of the stream and from nothing else, so that a
// reload, a reconnect and a second tab all show the same.

import { signal } from "@preact/signals";
import { type Ending, type FrameData, type ToolState, type ToolStep, type TurnInfo, type TurnState, isFinished } from "../api/types";
import { AnswerText } from "./answer-text";

export interface Tool {
  kind: "tool";
  id: string;
  name: string;
  state: ToolState;
  trusted: boolean;
  about: Record<string, string>;
  output: string;
  seconds: number | null;
  /** When the page learned of it, for a clock that ticks; replayed cards have ended before anyone looks. */
  seen: number;
}

export type Part = { kind: "text"; text: AnswerText } | Tool | { kind: "notice"; code: string; message: string };

/** What a card shows of a tool's output; the raw view has all. */
const MAX_TOOL_OUTPUT = 64 * 1024;

export class Turn {
  readonly prompt: string;
  readonly state = signal<TurnState>("running");
  readonly place = signal(0);
  readonly parts = signal<Part[]>([]);
  readonly ending = signal<Ending | null>(null);
  readonly stopping = signal(false);
  /** The end was told by the stream; what the turn's row says of it must not be built upon twice. */
  streamed = false;

  constructor(
    readonly number: number,
    prompt: string,
    readonly created: number,
  ) {
    this.prompt = prompt;
  }

  static from(info: TurnInfo): Turn {
    const turn = new Turn(info.turn, info.prompt, info.created_at);
    turn.state.value = info.state;
    turn.takeEnding(info);
    return turn;
  }

  /** What the row says: the state, and the facts of the end. */
  learn(info: TurnInfo): void {
    if (isFinished(this.state.value)) return;
    // The answer to sending a prompt may come after the stream has told that its turn begins.
    if (this.state.value === "queued" || info.state !== "queued") this.state.value = info.state;
    this.takeEnding(info);
  }

  private takeEnding(info: TurnInfo): void {
    if (isFinished(info.state)) this.ending.value = { ...info, reason: info.state };
  }

  get finished(): boolean {
    return isFinished(this.state.value);
  }

  get empty(): boolean {
    return this.parts.value.length === 0;
  }

  /** The answer's text, without cards. */
  get answer(): string {
    return this.parts.value
      .map((part) => (part.kind === "text" ? part.text.read() : ""))
      .join("")
      .trim();
  }

  apply(frame: FrameData): void {
    switch (frame.type) {
      case "queued":
        if (!this.finished && this.empty) this.state.value = "queued";
        this.place.value = frame.place;
        return;
      case "started":
        return this.begun();
      case "chunk":
        this.begun();
        return this.addText(frame.message);
      case "tool":
        this.begun();
        return this.applyTool(frame);
      case "notice":
        this.parts.value = [...this.parts.value, { kind: "notice", code: frame.code ?? "", message: frame.message }];
        return;
      case "done":
      case "error":
        this.streamed = true;
        this.ending.value = frame;
        this.state.value = frame.reason ?? (frame.type === "done" ? "completed" : "failed");
        this.stopping.value = false;
        for (const part of this.parts.value) if (part.kind === "text") part.text.end();
    }
  }

  private begun(): void {
    if (this.state.value === "queued") this.state.value = "running";
  }

  private addText(message: string): void {
    const last = this.parts.value.at(-1);
    if (last?.kind === "text") return last.text.add(message);
    const text = new AnswerText();
    // Blank lines separate the answer's parts around a card; here the card itself does.
    text.add(message);
    this.parts.value = [...this.parts.value, { kind: "text", text }];
  }

  private applyTool(step: ToolStep): void {
    const parts = [...this.parts.value];
    const index = parts.findIndex((part) => part.kind === "tool" && part.id === step.id);
    const known = parts[index] as Tool | undefined;
    const tool: Tool = known
      ? { ...known }
      : { kind: "tool", id: step.id, name: "", state: "started", trusted: false, about: {}, output: "", seconds: null, seen: Date.now() };
    if (step.name) tool.name = step.name;
    if (step.trusted) tool.trusted = true;
    if (step.about) tool.about = { ...tool.about, ...step.about };
    if (step.output && tool.output.length < MAX_TOOL_OUTPUT) tool.output += step.output;
    if (step.seconds != null) tool.seconds = step.seconds;
    if (step.state === "completed" || step.state === "failed") tool.state = step.state;
    else if (tool.state === "started") tool.state = step.state;
    if (known) parts[index] = tool;
    else {
      const last = parts.at(-1);
      if (last?.kind === "text") last.text.end();
      parts.push(tool);
    }
    this.parts.value = parts;
  }
}
