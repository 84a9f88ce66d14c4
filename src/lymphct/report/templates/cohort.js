"use strict";
// Sorting and filtering of a cohort's table. Without it the table stays as it is: in the order of the manifest.
(() => {
  const byId = (id) => document.getElementById(id);
  const table = byId("cohort");
  const [body] = table.tBodies;
  const headings = [...table.tHead.rows[0].cells];
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const names = headings.map((heading) => heading.dataset.name ?? "");

  const numberOf = (cell) => parseFloat(cell.dataset.v ?? cell.textContent);
  const keyOf = (cell, column) => (names[column] ? numberOf(cell) : cell.textContent === "–" ? "" : cell.textContent);
  const rows = [...body.rows].map((line) => ({
    line,
    keys: [...line.cells].map(keyOf),
    text: line.textContent.toLowerCase(),
    outcome: line.dataset.outcome,
    noted: Number(line.dataset.noted ?? 0),
  }));
  const last = headings.length - 1; // notices are sorted by their number
  for (const row of rows) row.keys[last] = row.noted || NaN;

  // ---- rows on the page: a browser lays out a few hundred at once, and thousands only when asked to ----

  const AT_ONCE = 300;
  const page = { found: rows, whole: false };

  function lay() {
    const { found } = page;
    const whole = page.whole || found.length <= AT_ONCE;
    body.replaceChildren(...(whole ? found : found.slice(0, AT_ONCE)).map(({ line }) => line));
    byId("more").hidden = whole;
    byId("more").textContent = `show the other ${found.length - AT_ONCE} rows`;
  }

  byId("more").addEventListener("click", () => {
    page.whole = true;
    lay();
  });
  addEventListener("beforeprint", () => {
    if (byId("more").hidden) return;
    page.whole = true; // paper has no button
    lay();
    addEventListener("afterprint", () => { page.whole = false; lay(); }, { once: true });
  });

  // ---- sorting ----

  const sorted = { column: -1, down: false };
  const isMissing = (key) => key === "" || Number.isNaN(key);

  function order() {
    const { column, down } = sorted;
    if (column < 0) return rows;
    const sign = down ? -1 : 1;
    const compare = names[column] || column === last ? (a, b) => a - b : words.compare;
    return [...rows].sort(({ keys: { [column]: a } }, { keys: { [column]: b } }) => {
      if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b); // unknown stays below, either way
      return sign * compare(a, b);
    });
  }

  function sortBy(column) {
    const first = Boolean(names[column]) || column === last; // of numbers the largest come first
    if (sorted.column !== column) Object.assign(sorted, { column, down: first });
    else if (sorted.down === first) sorted.down = !first;
    else sorted.column = -1;
    headings.forEach((heading, n) => {
      const state = n !== sorted.column ? "none" : sorted.down ? "descending" : "ascending";
      heading.setAttribute("aria-sort", state);
    });
    filter();
  }

  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => sortBy(column));
  });

  // ---- filtering ----

  const chips = [...document.querySelectorAll("#tools .chip")];
  const isPressed = (chip) => chip.getAttribute("aria-pressed") === "true";
  const press = (chip, is) => chip.setAttribute("aria-pressed", String(is));
  const COMPARISON = new RegExp(`\\b(${names.filter(Boolean).join("|")})\\s*(<=|>=|≤|≥|<|>|=)\\s*([0-9.]+)`, "g");
  const COMPARE = {
    "<": (a, b) => a < b, "<=": (a, b) => a <= b, "≤": (a, b) => a <= b,
    ">": (a, b) => a > b, ">=": (a, b) => a >= b, "≥": (a, b) => a >= b, "=": (a, b) => a === b,
  };

  function wanted() {
    const tests = [];
    const typed = byId("find").value.toLowerCase().replace(COMPARISON, (_, name, sign, value) => {
      const column = names.indexOf(name);
      tests.push((row) => COMPARE[sign](row.keys[column], Number(value)));
      return " ";
    });
    for (const word of typed.split(/\s+/).filter(Boolean)) tests.push((row) => row.text.includes(word));
    const pressed = chips.filter((chip) => isPressed(chip));
    const outcomes = pressed.map((chip) => chip.dataset.outcome).filter(Boolean);
    if (outcomes.length) tests.push((row) => outcomes.includes(row.outcome));
    if (pressed.some((chip) => "noted" in chip.dataset)) tests.push((row) => row.noted > 0);
    return tests;
  }

  function filter() {
    const tests = wanted();
    page.found = order().filter((row) => tests.every((test) => test(row)));
    const shown = page.found.length;
    lay();
    byId("shown").textContent = shown === rows.length ? `${rows.length} patients` : `${shown} of ${rows.length} patients`;
    byId("all").hidden = tests.length === 0;
  }

  for (const chip of chips)
    chip.addEventListener("click", () => {
      press(chip, !isPressed(chip));
      filter();
    });
  byId("find").addEventListener("input", filter);
  byId("tools").addEventListener("submit", (event) => event.preventDefault());
  byId("all").addEventListener("click", () => {
    byId("find").value = "";
    for (const chip of chips) press(chip, false);
    filter();
    byId("find").focus();
  });
  byId("tools").hidden = false;
  filter();
})();
