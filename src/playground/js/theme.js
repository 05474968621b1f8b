// @ts-check
/** Light or dark: as the system has it, until somebody chooses. Runs before the first paint, so nothing flashes. */
{
  const stored = "shoulders.theme";
  const system = matchMedia("(prefers-color-scheme: dark)");

  const apply = () => {
    document.documentElement.dataset.theme =
      localStorage.getItem(stored) ?? (system.matches ? "dark" : "light");
    document.dispatchEvent(new CustomEvent("themechange"));
  };

  apply();
  system.addEventListener("change", apply);
  document.addEventListener("click", ({ target }) => {
    if (!(target instanceof Element) || target.closest("#theme") === null) return;
    localStorage.setItem(stored, document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    apply();
  });
}
