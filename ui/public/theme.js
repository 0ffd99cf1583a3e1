// Runs before the first paint, so that a stored theme does not flash.
try {
  var theme = localStorage.getItem("gridward.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch (_) {
  // Storage may be forbidden; then the system's theme is used.
}
