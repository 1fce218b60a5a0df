// What the page asks for, from the files of an export: no server translates, but a worker of the browser.

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
let runtimes;

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
    worker.onerror = () => reject(new Error("The worker of this page cannot be started."));
    worker.onmessage = ({ data }) => {
      if (data.told) tell(data.told);
      else if (data.error) reject(new Error(data.error));
      else resolve(data);
    };
    const addresses = { base: document.baseURI, runtimes };
    worker.postMessage({ model, ...addresses, values: input.values() });
  });
}
