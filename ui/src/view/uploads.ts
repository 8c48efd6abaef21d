// Files on their way into the workspace, from a drop, a choice or the clipboard.

import { conversation, explain, files, filesChanged, filesOpen, startSession } from "../state/app";
import { toast } from "../state/toasts";
import { t } from "../text";

export interface Found {
  file: File;
  /** Where it goes, relative to the workspace. */
  path: string;
}

export async function uploadFiles(found: Found[]): Promise<void> {
  if (found.length === 0) return;
  if (!conversation.value && !(await startSession())) return;
  const target = files.value;
  if (!target) return;
  filesOpen.value = true;
  for (const { file, path } of found) {
    target.upload(file, path, (error) => {
      if (!error) {
        toast(t("uploaded", { name: path }));
        filesChanged(target.session);
      } else if (error.unsupported) toast(t("uploadUnsupported"), { kind: "problem" });
      else if (error.status !== 412) {
        toast(t("uploadFailed", { name: path, why: explain(error) }), { kind: "problem", seconds: 10 });
      }
    });
  }
}

/** What was dropped, directories included. */
export async function dropped(transfer: DataTransfer): Promise<Found[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry != null);
  if (entries.length === 0) return [...transfer.files].map((file) => ({ file, path: file.name }));
  return (await Promise.all(entries.map((entry) => within(entry, "")))).flat();
}

async function within(entry: FileSystemEntry, prefix: string): Promise<Found[]> {
  const path = prefix + entry.name;
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [{ file, path }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: Found[] = [];
  for (;;) {
    // A reader gives a hundred at a time.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return found;
    for (const one of some) found.push(...(await within(one, `${path}/`)));
  }
}
