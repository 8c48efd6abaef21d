// The files of a session's workspace: their list, uploads, deletions.

import { signal } from "@preact/signals";
import { api, ApiError, readError } from "../api/client";
import type { FileInfo } from "../api/types";

export interface Upload {
  id: number;
  name: string;
  percent: number;
  state: "running" | "exists" | "failed";
  why: string;
  file: File;
}

export class Files {
  readonly list = signal<FileInfo[]>([]);
  readonly truncated = signal(false);
  readonly state = signal<"loading" | "ready" | "failed">("loading");
  readonly uploads = signal<Upload[]>([]);
  readonly leaving = signal<ReadonlySet<string>>(new Set());
  private again = false;
  private reading = false;
  private nextUpload = 1;

  constructor(readonly session: string) {}

  /** Read the list; asked for while it is being read, it is read once more. */
  async refresh(): Promise<void> {
    if (this.reading) {
      this.again = true;
      return;
    }
    this.reading = true;
    try {
      const { files, truncated } = await api.files(this.session);
      this.list.value = files;
      this.truncated.value = truncated ?? false;
      this.state.value = "ready";
    } catch {
      if (this.state.value === "loading") this.state.value = "failed";
    } finally {
      this.reading = false;
    }
    if (this.again) {
      this.again = false;
      await this.refresh();
    }
  }

  find(path: string): FileInfo | undefined {
    return this.list.value.find((file) => file.path === path);
  }

  setLeaving(path: string, leaving: boolean): void {
    const next = new Set(this.leaving.value);
    if (leaving) next.add(path);
    else next.delete(path);
    this.leaving.value = next;
  }

  async remove(file: FileInfo): Promise<void> {
    try {
      await api.deleteFile(file.href);
      this.list.value = this.list.value.filter((one) => one.path !== file.path);
    } finally {
      this.setLeaving(file.path, false);
    }
  }

  upload(file: File, name: string, done: (outcome: ApiError | null) => void): void {
    const id = this.nextUpload++;
    this.uploads.value = [...this.uploads.value, { id, name, percent: 0, state: "running", why: "", file }];
    this.put(id, false, done);
  }

  /** A file of that name exists, and its owner says that it may go. */
  replace(id: number, done: (outcome: ApiError | null) => void): void {
    this.change(id, { state: "running", percent: 0 });
    this.put(id, true, done);
  }

  forget(id: number): void {
    this.uploads.value = this.uploads.value.filter((upload) => upload.id !== id);
  }

  private change(id: number, change: Partial<Upload>): void {
    this.uploads.value = this.uploads.value.map((upload) => (upload.id === id ? { ...upload, ...change } : upload));
  }

  private put(id: number, replace: boolean, done: (outcome: ApiError | null) => void): void {
    const upload = this.uploads.value.find((one) => one.id === id);
    if (!upload) return;
    // fetch tells nothing of what has been sent, XMLHttpRequest does.
    const request = new XMLHttpRequest();
    request.open("PUT", api.fileHref(this.session, upload.name));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    if (!replace) request.setRequestHeader("If-None-Match", "*");
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) this.change(id, { percent: Math.floor((100 * event.loaded) / event.total) });
    };
    const end = async () => {
      if (request.status >= 200 && request.status < 300) {
        this.forget(id);
        await this.refresh();
        return done(null);
      }
      const error = request.status
        ? await readError(new Response(request.responseText, { status: request.status }))
        : new ApiError(0, "NETWORK", "");
      const exists = error.status === 412;
      this.change(id, { state: exists ? "exists" : "failed", why: error.message });
      done(error);
    };
    request.onload = request.onerror = request.onabort = () => void end();
    request.send(upload.file);
  }
}
