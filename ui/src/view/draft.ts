// What has been typed and not sent, for each session: it outlives switching and reloading.

import { signal } from "@preact/signals";
import { readStore, writeStore } from "../util/store";

const drafts = signal<Record<string, string>>(readStore("qchat.drafts", {}));

export function draftOf(session: string): string {
  return drafts.value[session] ?? "";
}

export function setDraft(session: string, text: string): void {
  const { [session]: _, ...others } = drafts.value;
  drafts.value = text ? { ...others, [session]: text } : others;
  writeStore("qchat.drafts", drafts.value);
}
