import { useRef } from "preact/hooks";
import { api } from "../api/client";
import type { FileInfo } from "../api/types";
import { filesChanged, filesOpen, previewed, report } from "../state/app";
import type { Files, Upload } from "../state/files";
import { withUndo } from "../state/toasts";
import { t } from "../text";
import { bytes } from "../util/format";
import { FileTree } from "./file-tree";
import { Icon } from "./icons";
import { uploadFiles } from "./uploads";

export function FilesPanel({ files }: { files: Files | null }) {
  return (
    <aside class="files" aria-label={t("files")}>
      <Head files={files} />
      {files ? <List files={files} /> : <p class="quiet pad">{t("noFilesSession")}</p>}
    </aside>
  );
}

function Head({ files }: { files: Files | null }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <div class="files-head">
      <h2>{t("files")}</h2>
      <button type="button" class="icon-button" aria-label={t("upload")} title={t("upload")} onClick={() => input.current?.click()}>
        <Icon name="upload" />
      </button>
      <input
        ref={input}
        id="upload"
        type="file"
        multiple
        hidden
        onChange={(event) => {
          void uploadFiles([...(event.currentTarget.files ?? [])].map((file) => ({ file, path: file.name })));
          event.currentTarget.value = "";
        }}
      />
      {files && files.list.value.length > 0 && (
        <a class="icon-button" href={api.archiveHref(files.session)} download="" aria-label={t("archive")} title={t("archive")}>
          <Icon name="download" />
        </a>
      )}
      {files && (
        <button type="button" class="icon-button" aria-label={t("refresh")} title={t("refresh")} onClick={() => void files.refresh()}>
          <Icon name="refresh" />
        </button>
      )}
      <button type="button" class="icon-button only-narrow" aria-label={t("close")} onClick={() => (filesOpen.value = false)}>
        <Icon name="close" />
      </button>
    </div>
  );
}

function List({ files }: { files: Files }) {
  const shown = files.list.value.filter((file) => !files.leaving.value.has(file.path));
  return (
    <div class="files-list">
      {files.uploads.value.map((upload) => (
        <UploadRow key={upload.id} files={files} upload={upload} />
      ))}
      {files.state.value === "loading" && <p class="quiet pad">{t("loading")}</p>}
      {files.state.value === "failed" && <p class="pad bad">{t("filesFailed")}</p>}
      {files.state.value === "ready" && shown.length === 0 && <p class="quiet pad">{t("noFiles")}</p>}
      {shown.length > 0 && <FileTree files={shown} open={(file) => (previewed.value = file.path)} remove={(file) => remove(files, file)} />}
      {files.truncated.value && <p class="quiet pad">{t("filesTruncated")}</p>}
    </div>
  );
}

function UploadRow({ files, upload }: { files: Files; upload: Upload }) {
  const { id, name, percent, state, why } = upload;
  const after = () => filesChanged(files.session);
  return (
    <div class={`upload ${state}`} role="group" aria-label={name}>
      <span class="upload-name">{state === "exists" ? t("exists", { name }) : state === "failed" ? t("uploadFailed", { name, why }) : name}</span>
      {state === "running" && (
        <>
          <progress max={100} value={percent} aria-label={t("uploading", { name, percent })} />
          <span class="quiet">{bytes(upload.file.size)}</span>
        </>
      )}
      {state !== "running" && (
        <span class="buttons">
          <button type="button" class="link" onClick={() => files.replace(id, after)}>
            {t(state === "exists" ? "replace" : "tryAgain")}
          </button>
          <button type="button" class="link" onClick={() => files.forget(id)}>
            {t(state === "exists" ? "skip" : "discard")}
          </button>
        </span>
      )}
    </div>
  );
}

function remove(files: Files, file: FileInfo): void {
  if (previewed.value === file.path) previewed.value = null;
  files.setLeaving(file.path, true);
  withUndo(
    t("fileDeleted", { name: file.name }),
    t("undo"),
    () => void files.remove(file).then(() => filesChanged(files.session), report),
    () => files.setLeaving(file.path, false),
  );
}
