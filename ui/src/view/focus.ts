/** What goes takes the focus with it; so its neighbour gets that before. */
export function focusNeighbour(all: Iterable<HTMLElement>, leaving: HTMLElement | null): void {
  const list = [...all];
  const index = leaving ? list.indexOf(leaving) : -1;
  if (index >= 0) (list[index + 1] ?? list[index - 1])?.focus();
}
