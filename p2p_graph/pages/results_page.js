"use strict";

{
  const table = document.querySelector("table.results");
  const chunk = 50; // rows a <tbody>: the browser passes over what is off the screen chunk by chunk
  const listed = [...table.tBodies].flatMap((body) => [...body.rows]);
  let order = listed; // all rows, sorted
  let shown = listed; // those that the filter leaves, on the page
  const names = new Map(listed.map((row) => [row, row.cells[0].textContent.toLowerCase()]));
  const sorts = JSON.parse(table.dataset.sorts);
  const comparisons = new Map(); // from an output's cell
  const outputs = listed.length ? listed[0].querySelectorAll(".output").length : 0;
  const hasTargets = table.querySelector(".compared") !== null;
  let withOther = false; // whether the two outputs are compared with each other

  // What lies over an output.

  const overCell = (cell) => {
    if (!cell.classList.contains("output")) return null;
    const row = cell.parentElement;
    const other = [...row.querySelectorAll(".output")].find((output) => output !== cell);
    const over = withOther ? other : row.querySelector(".target");
    return over?.querySelector("a") ? over : null;
  };

  const overOf = (link) => {
    const over = overCell(link.closest("td"));
    return over && { source: over.querySelector("a").href, title: over.dataset.title };
  };

  const cover = (cell) => {
    const link = cell.querySelector("a");
    const over = overOf(link);
    comparisons.get(cell).setOver(over && over.source, over && over.title, link.firstElementChild.alt);
  };

  const prepare = (row) => {
    for (const cell of row.querySelectorAll(".compared:not(.ready)")) {
      comparisons.set(cell, new Comparison(cell.querySelector("a")));
      cell.classList.add("ready");
      cover(cell);
    }
  };

  // Sliders are made for the rows near the screen: thousands of them would take long.
  const nearby = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        nearby.unobserve(target);
        prepare(target);
      }
    },
    { rootMargin: "100% 0px" },
  );
  if (hasTargets) for (const row of listed) nearby.observe(row);
  addEventListener("beforeprint", () => {
    listed.forEach(prepare);
    for (const image of table.querySelectorAll("img")) image.loading = "eager";
  });

  // Controls.

  const labelled = (text, control) => make("label", {}, `${text} `, control);
  const filter = make("input", { type: "search", autocomplete: "off", spellcheck: false, size: 12 });
  const sort = make("select", {}, make("option", { value: "" }, "as listed"), make("option", { value: "name" }, "name"));
  sorts.forEach(([name], place) => sort.append(make("option", { value: place }, name)));
  const reverse = make("button", { type: "button", "aria-pressed": "false" }, "Best first");
  const difference = make("input", { type: "checkbox" });
  const gain = make("input", { type: "range", min: 1, max: 16, step: 1, value: 1 });
  const gainLabel = labelled("Brightness", gain);
  const partner = make("select", {}, make("option", { value: "" }, "the target"), make("option", { value: "other" }, "each other"));
  const count = make("span", { role: "status" });
  const help = make("button", { type: "button" }, "Keys (?)");
  gainLabel.hidden = true;
  const bar = make("div", { className: "controls" }, labelled("Filter", filter), labelled("Sort", sort));
  if (sorts.length) bar.append(reverse);
  if (hasTargets) bar.append(labelled("Difference", difference), gainLabel);
  if (hasTargets && outputs === 2 && listed[0].querySelectorAll(".compared").length === 2 && sorts.length) {
    bar.append(labelled("Compare with", partner));
  }
  bar.append(help, count);
  table.before(bar);
  table.classList.add("enhanced");

  const dialog = new ImageDialog(() => shown, overOf);

  const report = () => {
    const noun = listed.length === 1 ? "image" : "images";
    const part = shown.length === listed.length ? "" : `${shown.length} of `;
    count.textContent = `${part}${listed.length} ${noun}`;
  };

  const layOut = () => {
    const wanted = filter.value.trim().toLowerCase();
    shown = order.filter((row) => names.get(row).includes(wanted));
    for (const body of [...table.tBodies]) {
      body.replaceChildren(); // all at once: to move thousands of rows one by one takes seconds
      body.remove();
    }
    for (let first = 0; first < shown.length; first += chunk) {
      const rows = shown.slice(first, first + chunk);
      const body = make("tbody", {}, ...rows);
      body.style.setProperty("--rows", rows.length);
      table.append(body);
    }
    report();
  };

  // Worst first; what has no figure stands last in either order.
  const sortedByFigure = (place) => {
    const values = new Map(listed.map((row) => [row, Number(row.dataset.values.split(" ")[place])]));
    const isReversed = reverse.getAttribute("aria-pressed") === "true";
    const isRising = sorts[place][1] !== isReversed;
    return [...listed].sort((a, b) => {
      const [first, second] = [values.get(a), values.get(b)];
      if (Number.isNaN(first) || Number.isNaN(second)) return Number.isNaN(first) - Number.isNaN(second);
      if (first === second) return 0;
      return first < second === isRising ? -1 : 1;
    });
  };

  const applySort = () => {
    reverse.disabled = ["", "name"].includes(sort.value);
    order = listed;
    if (sort.value === "name") {
      const { compare } = new Intl.Collator(undefined, { numeric: true });
      order = [...listed].sort((a, b) => compare(names.get(a), names.get(b)));
    } else if (sort.value) order = sortedByFigure(Number(sort.value));
    layOut();
  };

  const applyDifference = () => {
    document.body.classList.toggle("difference", difference.checked);
    document.body.style.setProperty("--gain", gain.value);
    gain.setAttribute("aria-valuetext", `${gain.value} times`);
    gainLabel.hidden = !difference.checked;
  };

  const toggleDifference = () => {
    difference.checked = hasTargets && !difference.checked;
    applyDifference();
  };

  filter.addEventListener("input", layOut);
  sort.addEventListener("change", applySort);
  reverse.addEventListener("click", () => {
    reverse.setAttribute("aria-pressed", String(reverse.getAttribute("aria-pressed") !== "true"));
    applySort();
  });
  difference.addEventListener("change", applyDifference);
  gain.addEventListener("input", applyDifference);
  partner.addEventListener("change", () => {
    withOther = partner.value === "other";
    for (const cell of comparisons.keys()) cover(cell);
    dialog.refresh();
  });

  // Images are enlarged; with a modifier key, links do what links do.
  table.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    dialog.open(link);
  });

  // A link to a row that the filter hides shows all rows, also one that was followed before.
  const showLinked = () => {
    const row = listed.find(({ id }) => id && `#${id}` === location.hash);
    if (!row || row.isConnected) return;
    filter.value = "";
    layOut();
    row.scrollIntoView();
  };
  addEventListener("hashchange", showLinked);
  addEventListener("click", ({ target }) => {
    if (target.closest("a")?.hash === location.hash) showLinked();
  });

  // Keys.

  const keys = [
    ["/", "filter by name"],
    ...(sorts.length ? [["s", "sort"]] : []),
    ...(hasTargets ? [["d", "difference of output and target, or the images"]] : []),
    ["Enter", "enlarge an image"],
    ["← →", "enlarged: previous and next image"],
    ["↑ ↓", "enlarged: the same image of the previous and next row"],
    ["+ −", "enlarged: zoom"],
    ["Escape", "close"],
    ["?", "this list"],
  ];
  const keyList = make(
    "dialog",
    { "aria-labelledby": "keys-title" },
    make("h2", { id: "keys-title" }, "Keys"),
    make("dl", { className: "keys" }, ...keys.flatMap(([key, text]) => [make("dt", {}, key), make("dd", {}, text)])),
    make("form", { method: "dialog" }, make("button", {}, "Close")),
  );
  table.after(keyList);
  help.addEventListener("click", () => keyList.showModal());
  const actions = {
    "/": () => filter.focus(),
    s: () => sort.focus(),
    d: toggleDifference,
    "?": () => keyList.open || keyList.showModal(),
  };
  addEventListener("keydown", (event) => {
    const isTyped = event.target.matches?.("select, input[type=search]");
    if (isTyped || event.ctrlKey || event.altKey || event.metaKey || !actions[event.key]) return;
    if (document.querySelector("dialog[open]") && event.key !== "d") return;
    event.preventDefault();
    actions[event.key]();
  });

  reverse.disabled = true;
  report();
  applyDifference();
}
