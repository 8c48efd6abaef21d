import { useMemo, useState } from "preact/hooks";
import type { FileInfo } from "../api/types";
import { t } from "../text";
import { bytes, dateTime } from "../util/format";
import { focusNeighbour } from "./focus";
import { Icon } from "./icons";

interface Folder {
  name: string;
  path: string;
  folders: Folder[];
  files: FileInfo[];
}

interface Actions {
  open: (file: FileInfo) => void;
  remove: (file: FileInfo) => void;
}

/** Rows beyond this are shown when asked for: a workspace may hold a node_modules. */
const STEP = 200;

export function FileTree({ files, ...actions }: { files: FileInfo[] } & Actions) {
  const root = useMemo(() => grow(files), [files]);
  return (
    <div class="tree" onKeyDown={moveFocus}>
      <Level folder={root} actions={actions} top />
    </div>
  );
}

function grow(files: FileInfo[]): Folder {
  const root: Folder = { name: "", path: "", folders: [], files: [] };
  const known = new Map<string, Folder>([["", root]]);
  const find = (path: string): Folder => {
    const found = known.get(path);
    if (found) return found;
    const cut = path.lastIndexOf("/");
    const folder: Folder = { name: path.slice(cut + 1), path, folders: [], files: [] };
    known.set(path, folder);
    find(cut < 0 ? "" : path.slice(0, cut)).folders.push(folder);
    return folder;
  };
  for (const file of files) {
    const cut = file.path.lastIndexOf("/");
    find(cut < 0 ? "" : file.path.slice(0, cut)).files.push(file);
  }
  const byName = (a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name, undefined, { numeric: true });
  for (const folder of known.values()) {
    folder.folders.sort(byName);
    folder.files.sort(byName);
  }
  return root;
}

function Level({ folder, actions, top = false }: { folder: Folder; actions: Actions; top?: boolean }) {
  const [most, setMost] = useState(STEP);
  return (
    <ul class={top ? "" : "nested"}>
      {folder.folders.slice(0, most).map((child) => (
        <FolderRow key={child.path} folder={child} actions={actions} open={top && folder.folders.length < 6} />
      ))}
      {folder.files.slice(0, Math.max(0, most - folder.folders.length)).map((file) => (
        <FileRow key={file.path} file={file} actions={actions} />
      ))}
      {folder.folders.length + folder.files.length > most && (
        <li>
          <button type="button" class="link more" onClick={() => setMost(most + STEP)}>
            {t("more")}
          </button>
        </li>
      )}
    </ul>
  );
}

function FolderRow({ folder, actions, open: first }: { folder: Folder; actions: Actions; open: boolean }) {
  const [open, setOpen] = useState(first && !/^(\.|node_modules$|__pycache__$)/.test(folder.name));
  return (
    <li>
      <button type="button" class="tree-row folder" aria-expanded={open} aria-label={t("folder", { name: shown(folder.name) })} onClick={() => setOpen(!open)}>
        <Icon name="chevron" />
        <bdi class="tree-name">{shown(folder.name)}</bdi>
      </button>
      {open && <Level folder={folder} actions={actions} />}
    </li>
  );
}

function FileRow({ file, actions }: { file: FileInfo; actions: Actions }) {
  const name = shown(file.name);
  return (
    <li class="file-row">
      <button type="button" class="tree-row" title={`${shown(file.path)}\n${dateTime(file.modified_time)}`} onClick={() => actions.open(file)}>
        <Icon name="file" />
        <bdi class="tree-name">{name}</bdi>
        <span class="tree-size">{bytes(file.size)}</span>
      </button>
      <span class="file-actions">
        <a class="icon-button small" href={file.href} download={file.name} aria-label={t("downloadFile", { name })} title={t("download")}>
          <Icon name="download" />
        </a>
        <button type="button" class="icon-button small" aria-label={t("deleteFile", { name })} title={t("remove")} onClick={(event) => {
          const row = event.currentTarget.closest(".file-row")?.querySelector<HTMLElement>(".tree-row") ?? null;
          focusNeighbour(document.querySelectorAll<HTMLElement>(".tree-row"), row);
          actions.remove(file);
        }}>
          <Icon name="trash" />
        </button>
      </span>
    </li>
  );
}

/** A name as it is, with what would not show, or would turn the line around, made visible. */
export function shown(name: string): string {
  return name.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (character) => {
    const code = character.charCodeAt(0);
    return code < 32 ? String.fromCharCode(0x2400 + code) : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

function moveFocus(event: KeyboardEvent): void {
  const rows = [...(event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>(".tree-row")];
  const index = rows.indexOf(document.activeElement as HTMLElement);
  const row = rows[index];
  if (!row) return;
  const expanded = row.getAttribute("aria-expanded");
  if (event.key === "ArrowDown") rows[index + 1]?.focus();
  else if (event.key === "ArrowUp") rows[index - 1]?.focus();
  else if (event.key === "ArrowRight" && expanded === "false") row.click();
  else if (event.key === "ArrowLeft" && expanded === "true") row.click();
  else if (event.key === "Delete") row.parentElement?.querySelector<HTMLElement>(".file-actions button")?.click();
  else return;
  event.preventDefault();
}
