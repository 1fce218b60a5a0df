// The page of a training run: the sliders, and a refresh that keeps the reader's place.
"use strict";
(() => {
  const run = document.getElementById("run");
  const key = `p2p_graph run ${location.pathname}`;
  const place = load();
  let held = false; // a pointer or a key is down: the reader drags

  document.documentElement.classList.add("scripted");

  function load() {
    try {
      return JSON.parse(sessionStorage.getItem(key)) || {};
    } catch {
      return {};
    }
  }

  function save() {
    place.scroll = window.scrollY;
    place.focus = document.activeElement ? document.activeElement.id : "";
    try {
      sessionStorage.setItem(key, JSON.stringify(place));
    } catch {
      // Without storage, a refresh loses the place.
    }
  }

  // Boxes and folds, which have identifiers.
  for (const box of document.querySelectorAll("input[type=checkbox]")) {
    if (box.id in place) box.checked = place[box.id];
    box.addEventListener("change", () => {
      place[box.id] = box.checked;
      save();
    });
  }
  for (const fold of document.querySelectorAll("details")) {
    if (fold.id in place) fold.open = place[fold.id];
    fold.addEventListener("toggle", () => {
      place[fold.id] = fold.open;
      save();
    });
  }

  for (const part of document.querySelectorAll(".slides")) slides(part);

  function slides(part) {
    const table = JSON.parse(part.querySelector("script").textContent);
    const slider = part.querySelector("input");
    const last = table.length - 1;
    // The chosen step, or none: then the newest is shown, also after a refresh.
    if (part.id in place) {
      const found = table.findLastIndex(([step]) => step <= place[part.id]);
      slider.value = Math.max(found, 0);
      show();
    }
    slider.addEventListener("input", choose);
    part.querySelector(".back").addEventListener("click", () => move(-1));
    part.querySelector(".on").addEventListener("click", () => move(1));

    function move(by) {
      slider.value = Number(slider.value) + by;
      choose();
    }

    function choose() {
      const index = Number(slider.value);
      if (index === last) delete place[part.id];
      else place[part.id] = table[index][0];
      save();
      show();
    }

    function show() {
      const [step, bases] = table[Number(slider.value)];
      slider.setAttribute("aria-valuetext", `step ${step}`);
      part.querySelector("output").textContent = `step ${step}`;
      for (const row of part.querySelectorAll(".row")) {
        const base = bases[Number(row.dataset.number)];
        row.hidden = base === undefined;
        if (row.hidden) continue;
        row.querySelector(".name").textContent = decodeURIComponent(base).replace(/^[0-9]*-?/, "");
        for (const image of row.querySelectorAll("img")) {
          image.src = `${encodeURIComponent(part.dataset.folder)}/${base}${image.dataset.ending}`;
        }
      }
    }
  }

  // The place on the page: once now, and again when images have their sizes.
  const restore = () => {
    if (place.scroll) window.scrollTo(0, place.scroll);
  };
  const focused = place.focus && document.getElementById(place.focus);
  if (focused) focused.focus({ preventScroll: true });
  restore();
  window.addEventListener("load", () => {
    restore();
    window.addEventListener("scroll", save, { passive: true });
  });
  window.addEventListener("pagehide", save);

  age();
  setInterval(age, 1000);

  function age() {
    const seconds = Math.max(0, Date.now() / 1000 - Number(run.dataset.written));
    let text = ` (${span(seconds)} ago)`;
    const between = Number(run.dataset.between); // reports; 0 before there are two
    if (run.dataset.state === "running" && between && seconds > 5 * between + 60) {
      text += ". Later than expected: training may have been killed; the same command goes on";
    }
    document.getElementById("age").textContent = text;
  }

  function span(seconds) {
    if (seconds < 100) return `${Math.round(seconds)} s`;
    if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
    return `${Math.round(seconds / 3600)} h`;
  }

  if (run.dataset.state !== "running") return;
  window.addEventListener("pointerdown", () => (held = true));
  window.addEventListener("keydown", () => (held = true));
  for (const name of ["pointerup", "pointercancel", "keyup", "blur"]) {
    window.addEventListener(name, () => (held = false));
  }
  setInterval(refresh, 1000 * Number(run.dataset.refresh));

  function refresh() {
    const selected = String(getSelection()) !== "";
    const wanted = document.getElementById("refreshes").checked;
    if (!wanted || held || selected || document.hidden) return;
    save();
    location.reload();
  }
})();
