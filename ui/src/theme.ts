// Runs before the first paint, so that a page with a chosen theme never flashes in the other one.
try {
  const theme = localStorage.getItem("qchat.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be denied; then the system's theme stands.
}
