// A code block that is being written: lines are appended, never drawn again.
//
// A block may be a megabyte. One text in one element would be laid out anew with every line, so the lines
// are in chunks, each a block of its own.

import { codeFrame } from "./parser";
import { sanitise } from "./sanitise";

const CHUNK_LINES = 100;
const CHUNK_CHARS = 8_000;

const OPENING = /^( {0,3})(`{3,}|~{3,})[ \t]*([^\n]*)\n/;

export interface Fence {
  /** How the block ends. */
  closing: RegExp;
  info: string;
  indent: number;
  /** The length of the opening line. */
  length: number;
}

/** The fence that `source` begins with; its opening line must be complete. */
export function openingFence(source: string): Fence | null {
  const match = OPENING.exec(source);
  if (!match) return null;
  const [line, indent = "", marker = "", info = ""] = match;
  if (marker.startsWith("`") && info.includes("`")) return null;
  return {
    closing: new RegExp(`^ {0,3}[${marker[0]}]{${marker.length},}[ \\t]*$`),
    info,
    indent: indent.length,
    length: line.length,
  };
}

export class CodeWriter {
  readonly element: HTMLElement;
  private readonly code: HTMLElement;
  private text: Text | null = null;
  private lines = 0;
  /** Part of the current line has been drawn. */
  private midLine = false;

  constructor(private readonly fence: Fence) {
    this.element = sanitise(codeFrame(fence.info, "")).firstElementChild as HTMLElement;
    this.code = this.element.querySelector("code") as HTMLElement;
  }

  /** Take what `source` has from `from` on: how much was consumed, and whether the block has ended. */
  write(source: string, from: number, ended: boolean, budget: () => boolean): { used: number; closed: boolean } {
    let at = from;
    while (at < source.length && budget()) {
      const end = source.indexOf("\n", at);
      if (end < 0) {
        const rest = source.slice(at);
        if (ended && !this.midLine && this.fence.closing.test(rest)) return { used: source.length - from, closed: true };
        // What may yet become the closing fence has to wait.
        if (!ended && !this.midLine && /^[ \t]*(`*|~*)[ \t]*$/.test(rest)) break;
        this.append(this.midLine ? rest : this.strip(rest));
        this.midLine = true;
        at = source.length;
        break;
      }
      const line = source.slice(at, end);
      at = end + 1;
      if (!this.midLine && this.fence.closing.test(line)) return { used: at - from, closed: true };
      this.append(`${this.midLine ? line : this.strip(line)}\n`);
      this.midLine = false;
    }
    return { used: at - from, closed: ended && at === source.length };
  }

  private strip(line: string): string {
    let blanks = 0;
    while (blanks < this.fence.indent && line[blanks] === " ") blanks++;
    return line.slice(blanks);
  }

  private append(line: string): void {
    const full = this.lines >= CHUNK_LINES || (this.text?.length ?? 0) > CHUNK_CHARS;
    // A chunk is a block, so it ends with a line, unless one line is longer than any screen.
    if (!this.text || (full && (!this.midLine || this.text.length > 4 * CHUNK_CHARS))) {
      this.text = document.createTextNode("");
      const first = this.code.childNodes.length === 0;
      // Most blocks are short and stay one plain text, which highlighting wants.
      if (first) this.code.appendChild(this.text);
      else {
        if (this.code.firstChild instanceof Text) this.code.replaceChildren(chunk(this.code.firstChild));
        this.code.appendChild(chunk(this.text));
        this.element.classList.add("long");
      }
      this.lines = 0;
    }
    this.text.appendData(line);
    this.lines++;
  }
}

function chunk(text: Text): HTMLElement {
  const element = document.createElement("span");
  element.className = "chunk";
  element.appendChild(text);
  return element;
}
