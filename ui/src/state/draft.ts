// What has been typed and not sent, for each session: it outlives switching and reloading.

import { signal } from "@preact/signals";
import { readStore, writeStore } from "../util/store";

type Drafts = Record<string, string>;

const NAME = "qchat.drafts";
const drafts = signal<Drafts>(readStore(NAME, {}));

export function draftOf(session: string): string {
  return drafts.value[session] ?? "";
}

export function setDraft(session: string, text: string): void {
  // What other tabs have written there since must stay.
  const { [session]: _, ...others } = readStore<Drafts>(NAME, drafts.value);
  drafts.value = text ? { ...others, [session]: text } : others;
  writeStore(NAME, drafts.value);
}
