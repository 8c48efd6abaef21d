// Keeps the end of a conversation in view while it grows, as long as its reader is there and reads on:
// whoever scrolls up, or selects text, stays where he is. The view also moves by itself, when what is above
// turns out shorter than it was taken for, or when the window changes; that is not the reader's wish.

const NEAR = 48;
const TOP = 600;
const UPWARDS = new Set(["ArrowUp", "PageUp", "Home"]);

export class Scroller {
  private atEnd = true;
  private away = false;
  private last = 0;
  /** What was scrolled last: another layout moves the view, too. */
  private layout = "";
  /** The pointer is down; it may drag the scroll bar. */
  private held = false;
  private touched = 0;
  private asked = false;
  private readonly observer: ResizeObserver;
  private readonly listening = new AbortController();

  constructor(
    private readonly box: HTMLElement,
    private readonly on: { away: (away: boolean) => void; top: () => void },
  ) {
    this.listen();
    this.observer = new ResizeObserver(() => this.grew());
    this.observer.observe(box);
    if (box.firstElementChild) this.observer.observe(box.firstElementChild);
    this.toEnd();
  }

  close(): void {
    this.listening.abort();
    this.observer.disconnect();
  }

  /** The content has grown. */
  grew(): void {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      if (this.atEnd && !this.selecting()) this.scroll();
      else this.tell();
    });
  }

  toEnd(): void {
    this.atEnd = true;
    getSelection()?.empty();
    this.scroll();
    this.grew();
    this.tell();
  }

  private scroll(): void {
    this.box.scrollTop = this.box.scrollHeight;
    // Its event comes later, when a reader may have begun to leave; it must not pass for his coming back.
    this.last = this.box.scrollTop;
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

  private listen(): void {
    const options = { passive: true, signal: this.listening.signal };
    const box = this.box;
    box.addEventListener("scroll", () => this.scrolled(), options);
    // What a finger or a wheel wants counts before the view has moved: while the answer grows, a slow movement
    // would be undone before it came far.
    box.addEventListener("wheel", (event) => event.deltaY < 0 && this.leave(), options);
    box.addEventListener("keydown", (event) => UPWARDS.has(event.key) && this.leave(), options);
    box.addEventListener("touchstart", (event) => (this.touched = event.touches[0]?.clientY ?? 0), options);
    box.addEventListener("touchmove", (event) => (event.touches[0]?.clientY ?? 0) > this.touched && this.leave(), options);
    box.addEventListener("pointerdown", () => (this.held = true), options);
    addEventListener("pointerup", () => (this.held = false), options);
  }

  private leave(): void {
    if (this.box.scrollTop > 0) this.atEnd = false;
  }

  private scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight, clientWidth } = this.box;
    const layout = `${scrollHeight} ${clientHeight} ${clientWidth}`;
    if (scrollTop < this.last) {
      if (this.held || this.selecting() || layout === this.layout) this.atEnd = false;
    } else if (scrollTop > this.last && this.distance() < NEAR) this.atEnd = true;
    this.last = scrollTop;
    this.layout = layout;
    this.tell();
    if (scrollTop < TOP && scrollHeight > clientHeight) this.on.top();
    // Whoever reads the end and was moved goes back there.
    if (this.atEnd && this.distance() >= NEAR) this.grew();
  }

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
