// A piece of an answer that grows, and the one that shows it.

export class AnswerText {
  source = "";
  ended = false;
  private pieces: string[] = [];
  private listener: (() => void) | null = null;

  add(piece: string): void {
    this.pieces.push(piece);
    this.listener?.();
  }

  /** Nothing more comes. */
  end(): void {
    this.ended = true;
    this.listener?.();
  }

  /** Everything so far. Joined only when asked for: the pieces are many and small. */
  read(): string {
    if (this.pieces.length > 0) {
      this.source += this.pieces.join("");
      this.pieces = [];
    }
    return this.source;
  }

  listen(listener: (() => void) | null): void {
    this.listener = listener;
  }
}
