// Draws an answer while it is being written.
//
// Markdown is drawn block by block. A block is final once the next one has begun on a complete line, and is
// never touched again; only the last one is parsed anew as it grows, and morphed, so that nothing flickers
// and selections stay. What is drawn does not depend on how the text was cut into pieces, except for blocks
// beyond MAX_BLOCK, which are divided. Work is done in slices, so that a megabyte at once blocks nothing.

import type { AnswerText } from "../chat/answer-text";
import { CodeWriter, openingFence } from "./code";
import { decorate } from "./decorate";
import { mended } from "./mend";
import { markdown } from "./parser";
import { morphChildren } from "./morph";
import { sanitise } from "./sanitise";
import { schedule } from "./scheduler";
import { TableWriter } from "./table";

const SLICE = 1_500;
/** Parsing a block again and again gets slow beyond this: it is divided where it has joints. */
const LONG_BLOCK = 3_000;
/** And beyond this anywhere. */
const MAX_BLOCK = 12_000;
const SEGMENT = 40;

export class AnswerWriter {
  private segment: HTMLElement;
  /** Elements of the segment that are final. */
  private final = 0;
  /** Where the source goes on behind the final blocks. */
  private start = 0;
  /** How far the source has been drawn. */
  private drawn = 0;
  private code: CodeWriter | null = null;
  private table: TableWriter | null = null;
  private readonly env = {};
  private stopped = false;
  private queued = false;
  private done = false;

  constructor(
    private readonly root: HTMLElement,
    private readonly text: AnswerText,
    private readonly drew: () => void,
  ) {
    this.segment = this.newSegment();
    text.listen(() => this.request());
    this.request();
  }

  stop(): void {
    this.stopped = true;
    this.text.listen(null);
  }

  private request(): void {
    if (this.queued || this.stopped || this.done) return;
    this.queued = true;
    schedule((budget) => {
      this.queued = false;
      if (this.stopped) return false;
      const more = this.work(budget);
      this.drew();
      if (more) this.queued = true;
      return more;
    });
  }

  /** Draw as much as time allows; whether there is more. */
  private work(budget: () => boolean): boolean {
    const source = this.text.read();
    const { ended } = this.text;
    do {
      const before = this.drawn;
      if (this.code) this.writeCode(source, ended, budget);
      else if (this.table) this.writeRows(source, ended, budget);
      else this.writeBlocks(source, ended);
      if (this.drawn === before) break;
    } while (this.drawn < source.length && budget());
    if (ended && this.drawn >= source.length && !this.code) this.finish();
    const linewise = this.code || this.table;
    return this.drawn < source.length && !(linewise && !source.includes("\n", this.drawn) && !ended) && !this.done;
  }

  private writeCode(source: string, ended: boolean, budget: () => boolean): void {
    if (!this.code) return;
    const { used, closed } = this.code.write(source, this.drawn, ended, budget);
    this.drawn = this.start = this.drawn + used;
    if (!closed) return;
    decorate(this.code.element, true);
    this.code = null;
    this.final++;
    if (this.drawn >= source.length && ended) this.finish();
  }

  private writeRows(source: string, ended: boolean, budget: () => boolean): void {
    if (!this.table) return;
    const { used, closed } = this.table.write(source, this.drawn, ended, budget);
    this.drawn = this.start = this.drawn + used;
    if (closed) this.table = null;
  }

  private writeBlocks(source: string, ended: boolean): void {
    let end = Math.min(source.length, this.drawn + SLICE);
    const line = end < source.length ? source.lastIndexOf("\n", end) + 1 : end;
    if (line > this.drawn) end = line;
    const tail = source.slice(this.start, end);
    const complete = ended && end === source.length;
    const tokens = markdown.parse(complete ? tail : mended(tail), this.env);
    const blocks = tokens.filter((token) => token.level === 0 && token.map && token.nesting >= 0);
    const starts = blocks.map((block) => block.map?.[0] ?? 0);
    const offsets = lineOffsets(tail, starts);
    this.drawn = end;

    if (this.final >= SEGMENT) this.turnOver();
    // The last block that has begun on a complete line: everything before it is final.
    let last = blocks.length - 1;
    while (last > 0 && tail.indexOf("\n", offsets[last]) < 0) last--;
    const open = last >= 0 ? openingFence(tail.slice(offsets[last])) : null;
    if (open && !complete) {
      const upTo = tokens.indexOf(blocks[last] as (typeof blocks)[number]);
      this.draw(tokens.slice(0, upTo));
      this.settle(last, offsets[last] ?? 0);
      this.code = new CodeWriter(open);
      this.segment.appendChild(this.code.element);
      this.start += open.length;
      this.drawn = this.start;
      return;
    }
    this.draw(tokens);
    if (complete) return this.settle(blocks.length, tail.length);
    if (last > 0) this.settle(last, offsets[last] ?? 0);
    else if (tail.length > LONG_BLOCK) this.divide(tail, tokens);
  }

  private draw(tokens: ReturnType<typeof markdown.parse>): void {
    const fragment = sanitise(markdown.renderer.render(tokens, markdown.options, this.env));
    for (const stray of [...fragment.childNodes]) if (!(stray instanceof Element)) stray.remove();
    for (const block of fragment.children) decorate(block as HTMLElement, false);
    morphChildren(this.segment, fragment, this.final);
  }

  /** `count` more blocks are final, and the source goes on `length` behind where it stood. */
  private settle(count: number, length: number): void {
    if (count === 0 && length === 0) return;
    const blocks = [...this.segment.children].slice(this.final, this.final + count);
    for (const block of blocks) decorate(block as HTMLElement, true);
    this.final += count;
    this.start += length;
  }

  /** One block is too long to be parsed again and again: what there is of it becomes final. */
  private divide(tail: string, tokens: ReturnType<typeof markdown.parse>): void {
    const kind = tokens[0]?.type;
    const atLine = tail.lastIndexOf("\n", tail.length - 2) + 1;
    if (kind === "table_open" && atLine > LONG_BLOCK / 2) {
      const head = `${tail.split("\n", 2).join("\n")}\n`;
      this.settleDivided(tail, atLine);
      const table = this.segment.children[this.final - 1];
      if (table instanceof HTMLElement && table.querySelector("tbody")) this.table = new TableWriter(table, head);
      return;
    }
    const items = tokens.filter((token) => token.type === "list_item_open" && token.level === 1);
    const item = items.at(-1)?.map?.[0];
    if (item && items.length > 1) return this.settleDivided(tail, lineOffsets(tail, [item])[0] ?? tail.length);
    if (kind === "paragraph_open" && atLine > LONG_BLOCK / 2) return this.settleDivided(tail, atLine);
    if (tail.length < MAX_BLOCK && (kind !== "paragraph_open" || tail.includes(" "))) return;
    const space = tail.lastIndexOf(" ") + 1;
    this.settleDivided(tail, space > MAX_BLOCK / 2 ? space : tail.length - (/[\uD800-\uDBFF]$/.test(tail) ? 1 : 0));
  }

  private settleDivided(tail: string, cut: number): void {
    this.draw(markdown.parse(tail.slice(0, cut), this.env));
    this.segment.lastElementChild?.classList.add("divided");
    this.settle(this.segment.children.length - this.final, cut);
    this.drawn = this.start;
  }

  private finish(): void {
    if (this.done) return;
    this.done = true;
    this.root.removeAttribute("data-writing");
    for (const block of [...this.segment.children].slice(this.final)) decorate(block as HTMLElement, true);
  }

  /** Begin a new segment; the last block, which is not final, moves there. */
  private turnOver(): void {
    const rest = [...this.segment.children].slice(this.final);
    this.segment.classList.add("settled");
    this.segment = this.newSegment();
    this.segment.append(...rest);
    this.final = 0;
  }

  private newSegment(): HTMLElement {
    const element = document.createElement("div");
    element.className = "segment";
    this.root.setAttribute("data-writing", "");
    this.root.appendChild(element);
    return element;
  }
}

/** The offsets at which lines begin; `lines` rise. */
function lineOffsets(text: string, lines: number[]): number[] {
  const found: number[] = [];
  let [line, offset] = [0, 0];
  for (const wanted of lines) {
    while (line < wanted) {
      offset = text.indexOf("\n", offset) + 1;
      line++;
    }
    found.push(offset);
  }
  return found;
}
