// What the page asks of the server. An exported page has another file of this name.

const NO_ANSWER = "The server does not answer. Is it still running?";

async function ask(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch (error) {
    throw new Error(NO_ANSWER);
  }
  if (answer.ok) return answer;
  const { error } = await answer.json().catch(() => ({ error: NO_ANSWER }));
  throw new Error(error);
}

export async function listModels() {
  return (await (await ask("api/models")).json()).models;
}

// An image file, as a Blob.
export async function readExample(model, number) {
  return (await ask(`api/examples/${encodeURIComponent(model.name)}/${number}`)).blob();
}

// A PNG as a Blob, and the milliseconds that it took.
export async function translate(model, seed, input) {
  const started = performance.now();
  const body = await input.png();
  const query = new URLSearchParams({ model: model.name });
  if (model.fixed_seed === undefined) query.set("seed", seed);
  const headers = { "Content-Type": body.type };
  const answer = await ask(`api/translate?${query}`, { method: "POST", headers, body });
  return { png: await answer.blob(), milliseconds: performance.now() - started };
}
