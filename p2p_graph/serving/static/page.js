import { Drawing, History } from "./drawing.js";
import { decode, encodePng, makeGrey, scale, toImage, toValues } from "./pixels.js";
import { listModels, readExample, translate as translateBy } from "./service.js";
import { Translator } from "./translation.js";

const byId = (name) => document.getElementById(name);
const canvas = byId("drawing");
const context = canvas.getContext("2d", { willReadFrequently: true });
const history = new History();
const state = { models: [], model: null, choice: null, drawing: null, photo: null, tool: "brush", colour: 0, start: null, cursor: [0, 0], asked: null, result: null, told: "" };

// Another model may be chosen while one translates.
const translator = new Translator(translateBy, showResult, (text, choice) => {
  if (choice !== state.choice) return;
  state.asked = null;
  say(text, true);
});

function say(text, isProblem = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("problem", isProblem);
}

// --- The model ------------------------------------------------------------------------------------

async function loadModels() {
  say("");
  try {
    state.models = await listModels();
  } catch (error) {
    say(error.message, true);
    return;
  }
  for (const { name, direction } of state.models) {
    byId("model").append(new Option(`${name} (${direction})`, name));
  }
  chooseModel();
}

function chooseModel() {
  const model = state.models.find(({ name }) => name === byId("model").value);
  state.model = model;
  state.choice = Symbol("of this model"); // also of the same one, chosen again
  translator.drop();
  clearResult();
  canvas.width = model.width;
  canvas.height = model.height;
  const isDrawn = model.kind !== "photo";
  for (const element of [byId("tools"), byId("keys"), byId("save")]) element.hidden = !isDrawn;
  byId("webcam").hidden = isDrawn || !navigator.mediaDevices;
  for (const name of ["clear", "upload", "webcam", "save"]) byId(name).disabled = false;
  byId("random").disabled = model.examples === 0;
  showSeed(model.fixed_seed);
  state.photo = null;
  state.drawing = null;
  if (isDrawn) {
    const colours = model.palette.map(({ colour }) => colour);
    // An edge drawing is black on paper; of labels the first class is the ground.
    state.drawing = new Drawing(model.width, model.height, colours, model.kind === "edges" ? 1 : 0);
    state.colour = model.kind === "edges" ? 0 : Math.min(1, colours.length - 1);
    state.cursor = [model.width >> 1, model.height >> 1];
    history.reset(state.drawing.pixels);
  }
  showPalette();
  resize();
  if (model.examples) randomExample();
  else if (isDrawn) changed();
  else {
    context.clearRect(0, 0, canvas.width, canvas.height);
    say("Upload, drop or paste a photo.");
  }
}

// The masks of an exported model are those of one seed: a number, or null without dropout.
function showSeed(fixed) {
  byId("seed-field").hidden = fixed !== undefined;
  byId("masks").hidden = fixed === undefined;
  byId("masks").textContent = fixed === null ? "No dropout, so no seed" : `Dropout masks of seed ${fixed}`;
}

function showPalette() {
  const group = byId("palette");
  group.replaceChildren();
  group.hidden = !state.drawing;
  if (!state.drawing) return;
  state.model.palette.forEach(({ name, colour }, number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", number === state.colour);
    button.tabIndex = number === state.colour ? 0 : -1;
    if (number < 9) button.title = `${name} (${number + 1})`;
    const patch = document.createElement("canvas");
    patch.width = patch.height = 1;
    patch.setAttribute("aria-hidden", "true");
    const ink = patch.getContext("2d");
    ink.fillStyle = `rgb(${colour.join()})`;
    ink.fillRect(0, 0, 1, 1);
    button.append(patch, name);
    button.addEventListener("click", () => chooseColour(number));
    group.append(button);
  });
}

function chooseColour(number, takeFocus = false) {
  state.colour = number;
  [...byId("palette").children].forEach((button, other) => {
    button.setAttribute("aria-checked", other === number);
    button.tabIndex = other === number ? 0 : -1;
    if (takeFocus && other === number) button.focus();
  });
}

byId("palette").addEventListener("keydown", (event) => {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  const count = state.model.palette.length;
  chooseColour((state.colour + by + count) % count, true);
});

// --- Drawing --------------------------------------------------------------------------------------

function paint() {
  if (state.drawing) context.putImageData(state.drawing.toImage(), 0, 0);
}

// The input has changed: it is shown and translated, and can be undone if it is a step of its own.
function changed(isStep = false) {
  paint();
  if (isStep && state.drawing) history.add(state.drawing.pixels);
  byId("undo").disabled = !(state.drawing && history.canUndo);
  byId("redo").disabled = !(state.drawing && history.canRedo);
  translate();
}

function translate() {
  if (!state.model) return;
  const seed = Number(byId("seed").value);
  if (!Number.isInteger(seed) || byId("seed").validity.badInput) {
    say("The seed must be a whole number.", true);
    return;
  }
  // The end of a stroke, for one, changes no pixel: its image has been asked for.
  const { model, drawing, photo, asked } = state;
  const values = drawing ? drawing.pixels.slice() : photo;
  if (asked && asked.model === model && asked.seed === seed && isSame(asked.values, values)) {
    say(state.told); // instead of what was wrong
    return;
  }
  state.asked = { model, seed, values };
  state.told = "";
  translator.request(state.choice, model, seed, input, say);
}

const isSame = (a, b) => a === b || Boolean(a && b && a.every((value, i) => value === b[i]));

// What is translated, in the two forms that services take.
const input = {
  // At once: toBlob waits until the browser has nothing else to do.
  png: () => {
    // A canvas has multiplied colours by alpha.
    if (state.photo && channels() === 4) return encodePng(toImage(state.photo, 4, canvas.width, canvas.height));
    const encoded = atob(canvas.toDataURL("image/png").split(",")[1]);
    return new Blob([Uint8Array.from(encoded, (letter) => letter.charCodeAt(0))], { type: "image/png" });
  },
  // Float32Array [height, width, channels] in 0..1, without the rounding of a canvas.
  values: () => {
    if (state.drawing) return toValues(state.drawing.toImage().data, channels());
    return state.photo ?? new Float32Array(canvas.width * canvas.height * channels());
  },
};

// Of values here: services make one channel of three.
const channels = () => Math.max(3, state.model.channels[0]);

const inkOf = (tool) => (tool === "eraser" ? state.drawing.ground : state.colour);
const size = () => byId("brush-size").valueAsNumber;

function pixelOf(event) {
  const box = canvas.getBoundingClientRect();
  const place = (value, from, length, count) =>
    Math.max(0, Math.min(count - 1, Math.floor(((value - from) / length) * count)));
  return [
    place(event.clientX, box.left, box.width, canvas.width),
    place(event.clientY, box.top, box.height, canvas.height),
  ];
}

function begin([x, y]) {
  const { drawing, tool } = state;
  state.start = { x, y, lastX: x, lastY: y, before: drawing.pixels.slice() };
  if (tool === "pick") {
    chooseColour(drawing.at(x, y));
    state.start = null;
  } else if (tool === "fill") {
    drawing.fill(x, y, state.colour);
    end();
  } else move([x, y]);
}

function move([x, y]) {
  const { drawing, tool, start } = state;
  if (!start) return;
  if (tool === "line" || tool === "rectangle") {
    drawing.pixels.set(start.before);
    if (tool === "line") drawing.line(start.x, start.y, x, y, size(), state.colour);
    else drawing.rectangle(start.x, start.y, x, y, state.colour);
  } else drawing.line(start.lastX, start.lastY, x, y, size(), inkOf(tool));
  start.lastX = x;
  start.lastY = y;
  changed();
}

function end() {
  if (!state.start) return;
  const isChanged = state.start.before.some((value, i) => value !== state.drawing.pixels[i]);
  state.start = null;
  if (isChanged) changed(true);
}

canvas.addEventListener("pointerdown", (event) => {
  if (!state.drawing || event.button !== 0) return;
  canvas.setPointerCapture(event.pointerId);
  begin(pixelOf(event));
});
canvas.addEventListener("pointermove", (event) => {
  if (!state.start || !canvas.hasPointerCapture(event.pointerId)) return;
  const events = event.getCoalescedEvents?.() ?? [];
  for (const each of events.length ? events : [event]) move(pixelOf(each));
});
canvas.addEventListener("pointerup", end);
canvas.addEventListener("pointercancel", end);

function chooseTool(tool) {
  state.tool = tool;
  for (const button of byId("tools").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", button.dataset.tool === tool);
  }
}

byId("tools").addEventListener("click", (event) => {
  if (event.target.dataset.tool) chooseTool(event.target.dataset.tool);
});

function showCursor() {
  const [x, y] = state.cursor;
  const scale = canvas.getBoundingClientRect().width / canvas.width;
  const ring = byId("cursor");
  ring.classList.add("shown");
  ring.style.left = `${(x + 0.5) * scale}px`;
  ring.style.top = `${(y + 0.5) * scale}px`;
  ring.style.width = ring.style.height = `${Math.max(8, size() * scale)}px`;
}

canvas.addEventListener("keydown", (event) => {
  if (!state.drawing || event.ctrlKey || event.metaKey || event.altKey) return;
  const [x, y] = state.cursor;
  const by = event.shiftKey ? 1 : Math.max(1, size() >> 1);
  const to = {
    ArrowLeft: [x - by, y], ArrowRight: [x + by, y], ArrowUp: [x, y - by], ArrowDown: [x, y + by],
  }[event.key];
  const isShape = state.tool === "line" || state.tool === "rectangle";
  if (to) {
    state.cursor = [
      Math.max(0, Math.min(canvas.width - 1, to[0])), Math.max(0, Math.min(canvas.height - 1, to[1])),
    ];
    if (state.start) move(state.cursor);
  } else if (event.key === " ") {
    if (!event.repeat && !state.start) begin(state.cursor);
  } else if (event.key === "Enter" && isShape) {
    if (state.start) end();
    else begin(state.cursor);
  } else return;
  event.preventDefault();
  showCursor();
});
canvas.addEventListener("keyup", (event) => {
  if (event.key === " " && state.start) end();
});
canvas.addEventListener("blur", end);
canvas.addEventListener("focus", showCursor);

function restore(pixels) {
  state.drawing.pixels.set(pixels);
  changed();
}

const undo = () => state.drawing && !state.start && history.canUndo && restore(history.undo());
const redo = () => state.drawing && !state.start && history.canRedo && restore(history.redo());
byId("undo").addEventListener("click", undo);
byId("redo").addEventListener("click", redo);
byId("clear").addEventListener("click", () => {
  if (state.drawing) {
    state.drawing.clear();
    changed(true);
  } else {
    context.clearRect(0, 0, canvas.width, canvas.height);
    state.photo = null;
    changed();
  }
});

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select")) return;
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (key === "z") (event.shiftKey ? redo : undo)();
    else if (key === "y") redo();
    else return;
    event.preventDefault();
    return;
  }
  if (event.altKey) return;
  const tool = { b: "brush", l: "line", r: "rectangle", f: "fill", e: "eraser", p: "pick" }[key];
  if (key === "x" && !byId("random").disabled) randomExample();
  else if (tool && state.drawing) chooseTool(tool);
  else if (state.drawing && /^[1-9]$/.test(key) && key <= state.model.palette.length) chooseColour(key - 1);
});

// --- Images from elsewhere ------------------------------------------------------------------------

async function take(blob) {
  const { choice } = state;
  if (!choice) return;
  let image;
  try {
    image = await decode(blob);
  } catch (error) {
    say("This is not an image that the browser can open.", true);
    return;
  }
  if (choice !== state.choice) return;
  // Labels keep their colours; photos are scaled as in training.
  if (!state.drawing && state.model.channels[0] === 1) makeGrey(image.data);
  const how = state.drawing ? "nearest" : state.model.resize;
  const values = scale(image, channels(), canvas.width, canvas.height, how);
  const scaled = toImage(values, channels(), canvas.width, canvas.height);
  if (state.drawing) state.drawing.fromImage(scaled);
  else {
    state.photo = values;
    context.putImageData(scaled, 0, 0);
  }
  changed(true);
}

async function randomExample() {
  const { model, choice } = state;
  const number = Math.floor(Math.random() * model.examples);
  try {
    const example = await readExample(model, number);
    if (choice === state.choice) await take(example);
  } catch (error) {
    if (choice === state.choice) say(error.message, true);
  }
}

byId("random").addEventListener("click", randomExample);
byId("upload").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", ({ target }) => {
  if (target.files[0]) take(target.files[0]);
  target.value = "";
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    byId("stage").classList.toggle("dropping", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files[0]) take(event.clipboardData.files[0]);
});

byId("webcam").addEventListener("click", async () => {
  const video = byId("video");
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: true });
    video.srcObject = stream;
    video.hidden = false;
    await video.play();
    await new Promise((resolve) => setTimeout(resolve, 1000)); // the camera adjusts to the light
    const side = Math.min(video.videoWidth, video.videoHeight);
    const shot = new OffscreenCanvas(side, side);
    shot.getContext("2d").drawImage(
      video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, side, side);
    stream.getTracks().forEach((track) => track.stop());
    await take(await shot.convertToBlob());
  } catch (error) {
    say("The webcam cannot be used.", true);
  }
  video.hidden = true;
});

// --- The result -----------------------------------------------------------------------------------

function clearResult() {
  state.asked = state.result = null;
  state.told = "";
  if (byId("result").src) URL.revokeObjectURL(byId("result").src);
  for (const name of ["result", "overlay"]) byId(name).removeAttribute("src");
  byId("download").disabled = byId("share").disabled = true;
}

function showResult({ png, milliseconds, by }, choice) {
  if (choice !== state.choice) return;
  state.result = png;
  const former = byId("result").src;
  const address = URL.createObjectURL(png);
  byId("result").src = address;
  byId("overlay").src = address;
  if (former) URL.revokeObjectURL(former);
  byId("download").disabled = byId("share").disabled = false;
  state.told = `Translated in ${(milliseconds / 1000).toFixed(2)} s${by ? ` by ${by}` : ""}.`;
  say(state.told);
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

byId("save").addEventListener("click", () => canvas.toBlob((blob) => save(blob, "drawing.png")));
byId("download").addEventListener("click", () => save(state.result, "output.png"));
byId("share").addEventListener("click", async () => {
  const both = new OffscreenCanvas(2 * canvas.width, canvas.height);
  const ink = both.getContext("2d");
  ink.drawImage(canvas, 0, 0);
  ink.drawImage(byId("result"), canvas.width, 0);
  save(await both.convertToBlob(), "input-output.png");
});

function resize() {
  const zoom = byId("zoom").valueAsNumber;
  const room = Math.max(200, Math.min(512, document.documentElement.clientWidth - 40));
  const scale = Math.min(room / canvas.width, Math.max(1, 384 / canvas.width)) * zoom;
  for (const element of [canvas, byId("result"), byId("overlay")]) {
    element.style.width = `${canvas.width * scale}px`;
    element.style.height = `${canvas.height * scale}px`;
  }
  const share = byId("slider").valueAsNumber;
  byId("overlay").style.clipPath = `inset(0 ${100 - share}% 0 0)`;
}

function chooseView() {
  const isOver = document.querySelector('input[name="view"]:checked').value === "over";
  byId("overlay").hidden = byId("slider-field").hidden = !isOver;
  resize();
}

byId("views").addEventListener("change", chooseView);
byId("slider").addEventListener("input", resize);
byId("zoom").addEventListener("input", resize);
window.addEventListener("resize", resize);
byId("model").addEventListener("change", chooseModel);
byId("seed").addEventListener("change", translate);

loadModels();
