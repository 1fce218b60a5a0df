// What the page asks for, from the files of an export: no server translates, but a worker of the browser.

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
let runtimes;
const STOPPED = "The worker of this page cannot be started.";
let hasStarted = false;
let hasFailed = false;
let refuse = () => {};
worker.onerror = () => {
  hasFailed = !hasStarted;
  refuse(new Error(STOPPED));
};

async function read(address) {
  let answer;
  try {
    answer = await fetch(address, { cache: "no-cache" });
  } catch (error) {
    throw new Error(`${address} does not come. Is the web server still running?`);
  }
  if (!answer.ok) throw new Error(`${address} is missing in the folder of this page.`);
  return answer;
}

export async function listModels() {
  const found = await (await read("models.json")).json();
  runtimes = found.runtimes;
  return found.models;
}

// An image file, as a Blob.
export async function readExample(model, number) {
  return (await read(`examples/${number}.png`)).blob();
}

// A PNG as a Blob, the milliseconds that it took without loading the model, and by what. The masks of
// dropout are constants, so that no seed has an effect. `tell` gets texts while the model is loaded.
export function translate(model, seed, input, tell) {
  return new Promise((resolve, reject) => {
    refuse = reject;
    if (hasFailed) reject(new Error(STOPPED));
    worker.onmessage = ({ data }) => {
      hasStarted = true;
      if (data.told) tell(data.told);
      else if (data.error) reject(new Error(data.error));
      else resolve(data);
    };
    const addresses = { base: document.baseURI, runtimes };
    worker.postMessage({ model, ...addresses, values: input.values() });
  });
}
