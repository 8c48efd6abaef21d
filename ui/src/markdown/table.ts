// A long table that is being written: rows are appended, never drawn again.

import { markdown } from "./parser";
import { sanitise } from "./sanitise";

/** Columns are as wide as their widest cell, so every row counts for the layout of all. */
const MAX_ROWS = 200;

export class TableWriter {
  private rows: number;

  /** `head` is the source of the head: its line, and the one that makes it a table. */
  constructor(
    private element: HTMLElement,
    private readonly head: string,
  ) {
    this.rows = element.querySelectorAll("tbody > tr").length;
  }

  /** Take the rows that `source` has from `from` on: how much was consumed, and whether the table has ended. */
  write(source: string, from: number, ended: boolean, budget: () => boolean): { used: number; closed: boolean } {
    let at = from;
    while (at < source.length && budget()) {
      const end = source.indexOf("\n", at);
      if (end < 0 && !ended) break;
      const line = source.slice(at, end < 0 ? source.length : end);
      const row = this.parse(line);
      if (!row) return { used: at - from, closed: true };
      this.append(row);
      at += line.length + (end < 0 ? 0 : 1);
    }
    return { used: at - from, closed: ended && at === source.length };
  }

  private parse(line: string): Element | null {
    const tokens = markdown.parse(this.head + line, {});
    const whole = tokens.length > 0 && tokens.at(-1)?.type === "table_close";
    const table = whole ? sanitise(markdown.renderer.render(tokens, markdown.options, {})) : null;
    const rows = table?.querySelectorAll("tbody > tr") ?? [];
    return rows.length === 1 ? (rows[0] as Element) : null;
  }

  private append(row: Element): void {
    if (this.rows >= MAX_ROWS) {
      const next = this.element.cloneNode(true) as HTMLElement;
      next.querySelector("tbody")?.replaceChildren();
      this.element.after(next);
      this.element = next;
      this.rows = 0;
    }
    this.element.querySelector("tbody")?.append(row);
    this.rows++;
  }
}
