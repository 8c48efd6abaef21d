// Keeps the end of a conversation in view while it grows, as long as its reader is there and reads on:
// whoever scrolls up, or selects text, stays where he is.

const NEAR = 48;
const TOP = 600;

export class Scroller {
  private atEnd = true;
  private away = false;
  private last = 0;
  private asked = false;
  private readonly observer: ResizeObserver;

  constructor(
    private readonly box: HTMLElement,
    private readonly on: { away: (away: boolean) => void; top: () => void },
  ) {
    box.addEventListener("scroll", this.scrolled, { passive: true });
    this.observer = new ResizeObserver(() => this.grew());
    this.observer.observe(box);
    if (box.firstElementChild) this.observer.observe(box.firstElementChild);
    this.toEnd();
  }

  close(): void {
    this.box.removeEventListener("scroll", this.scrolled);
    this.observer.disconnect();
  }

  /** The content has grown. */
  grew(): void {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      if (this.atEnd && !this.selecting()) this.box.scrollTop = this.box.scrollHeight;
      else this.tell();
    });
  }

  toEnd(): void {
    this.atEnd = true;
    getSelection()?.empty();
    this.box.scrollTop = this.box.scrollHeight;
    this.grew();
    this.tell();
  }

  /** Remember what is in view; the function that is returned brings it back there. */
  anchor(): () => void {
    const first = [...this.box.querySelectorAll<HTMLElement>(".turn")].find(
      (turn) => turn.getBoundingClientRect().bottom > this.box.getBoundingClientRect().top,
    );
    const before = first?.getBoundingClientRect().top ?? 0;
    return () => {
      if (first?.isConnected) this.box.scrollTop += first.getBoundingClientRect().top - before;
    };
  }

  private scrolled = (): void => {
    // Only a way up leaves the end: content that grows moves the end away from its reader, not him from it.
    const { scrollTop } = this.box;
    if (this.distance() < NEAR) this.atEnd = true;
    else if (scrollTop < this.last - 1) this.atEnd = false;
    this.last = scrollTop;
    this.tell();
    if (this.box.scrollTop < TOP && this.box.scrollHeight > this.box.clientHeight) this.on.top();
  };

  private distance(): number {
    return this.box.scrollHeight - this.box.clientHeight - this.box.scrollTop;
  }

  private tell(): void {
    const away = !this.atEnd && this.distance() >= NEAR;
    if (away !== this.away) this.on.away((this.away = away));
  }

  private selecting(): boolean {
    const selection = getSelection();
    return !!selection && !selection.isCollapsed && this.box.contains(selection.anchorNode);
  }
}
