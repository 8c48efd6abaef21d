// A tab that crashes says nothing, but the lock that it held is released. So every tab holds one.

export async function hold(name: string): Promise<void> {
  if (!navigator.locks) return;
  await new Promise<void>((held) => {
    void navigator.locks.request(name, () => {
      held();
      return new Promise(() => {}); // for as long as the page lives
    });
  });
}

/** When the holder of `name` is gone; never where there are no locks. */
export async function onceReleased(name: string): Promise<void> {
  if (!navigator.locks) return new Promise(() => {});
  await navigator.locks.request(name, () => {});
}
