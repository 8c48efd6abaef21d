// Prompts on their way. Each has a key from its first moment, kept in the browser until the server has
// taken it: whatever is repeated under that key, by whichever tab, after whichever crash, runs once.

import { signal } from "@preact/signals";
import { api, ApiError } from "../api/client";
import type { TurnInfo } from "../api/types";
import { randomKey } from "../util/random";
import { readStore, writeStore } from "../util/store";

export interface Letter {
  key: string;
  session: string;
  message: string;
  written: number;
  state: "sending" | "waiting" | "refused" | "stale";
  failure?: { code: string; message: string; details: string } | undefined;
}

const NAME = "qchat.outbox";
/** A prompt that could not be sent for so long is not sent without asking. */
const STALE = 10 * 60_000;
const DELAYS = [500, 1_000, 2_000, 4_000, 8_000];

type Taken = (letter: Letter, turn: TurnInfo) => void;

export class Outbox {
  readonly letters = signal<Letter[]>([]);
  private wakeUps = new Map<string, () => void>();

  constructor(private readonly taken: Taken) {
    this.letters.value = readStore<Letter[]>(NAME, []).map((letter) => {
      const stale = Date.now() - letter.written > STALE;
      return letter.state === "refused" ? letter : { ...letter, state: stale ? "stale" : "waiting" };
    });
  }

  /** Go on with what an earlier page left. */
  resume(): void {
    for (const letter of this.letters.value) if (letter.state === "waiting") void this.deliver(letter.session);
  }

  send(session: string, message: string, key = randomKey()): void {
    if (this.find(key)) return;
    const letter: Letter = { key, session, message, written: Date.now(), state: "sending" };
    this.letters.value = [...this.letters.value, letter];
    this.save();
    void this.deliver(session);
  }

  /** Again, under the same key. */
  again(key: string): void {
    this.change(key, { state: "sending", failure: undefined, written: Date.now() });
    const letter = this.find(key);
    if (letter) void this.deliver(letter.session);
  }

  discard(key: string): void {
    this.letters.value = this.letters.value.filter((letter) => letter.key !== key);
    this.save();
  }

  /** Do not wait for timers: the connection is back. */
  wake(): void {
    for (const wakeUp of [...this.wakeUps.values()]) wakeUp();
  }

  private find(key: string): Letter | undefined {
    return this.letters.value.find((letter) => letter.key === key);
  }

  private change(key: string, change: Partial<Letter>): void {
    this.letters.value = this.letters.value.map((letter) => (letter.key === key ? { ...letter, ...change } : letter));
    this.save();
  }

  private save(): void {
    // Another tab may have letters of its own there.
    const own = new Set(this.letters.value.map((letter) => letter.key));
    const others = readStore<Letter[]>(NAME, []).filter((letter) => !own.has(letter.key) && !this.known.has(letter.key));
    for (const key of own) this.known.add(key);
    writeStore(NAME, [...others, ...this.letters.value]);
  }

  private known = new Set<string>();

  /** The letters of one session go one after the other, in the order they were written. */
  private async deliver(session: string): Promise<void> {
    if (this.delivering.has(session)) return;
    this.delivering.add(session);
    for (let attempt = 0; ; attempt++) {
      const letter = this.letters.value.find((one) => one.session === session && ["sending", "waiting"].includes(one.state));
      if (!letter) break;
      if (await this.post(letter)) attempt = -1;
      else await this.sleep(session, this.retryAfter * 1000 || (DELAYS[attempt] ?? 8_000));
    }
    this.delivering.delete(session);
  }

  private delivering = new Set<string>();
  private retryAfter = 0;

  /** Whether that was the end of it, one way or the other. */
  private async post(letter: Letter): Promise<boolean> {
    try {
      const turn = await api.submit(letter.session, letter.message, letter.key);
      this.taken(letter, turn);
      this.discard(letter.key);
      return true;
    } catch (error) {
      const failure = ApiError.from(error);
      const { code, message, details } = failure;
      this.retryAfter = failure.retryAfter;
      // Somebody who has to log in again first still wants it sent.
      const later = failure.passing || code === "UNAUTHORIZED";
      this.change(letter.key, { state: later ? "waiting" : "refused", failure: { code, message, details } });
      return !later;
    }
  }

  private sleep(session: string, wait: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.wakeUps.delete(session);
        resolve();
      };
      const timer = setTimeout(done, wait);
      this.wakeUps.set(session, done);
    });
  }
}
