// Background requests: drafts and lease renewals.

export const LOST = 409;
export const SIGNED_OUT = 401;
export const NO_CONNECTION = 0;

// Returns { status, text }.
export async function post(url, fields = {}, { keepalive = false } = {}) {
  const headers = JSON.parse(document.body.getAttribute("hx-headers"));
  let response;
  try {
    response = await fetch(url, {
      method: "POST", body: new URLSearchParams(fields), headers, keepalive, redirect: "manual",
    });
  } catch {
    return { status: NO_CONNECTION, text: "" };
  }
  // A redirect leads to the sign-in page: the session has ended.
  if (response.type === "opaqueredirect") return { status: SIGNED_OUT, text: "" };
  return { status: response.status, text: await response.text() };
}
