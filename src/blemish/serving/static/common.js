// What every page needs: asking the service, saying what went wrong, times as people read them.
"use strict";

const csrf = document.querySelector('meta[name="csrf"]').content;

async function ask(method, path, body) {
  const headers = csrf ? { "X-CSRF-Token": csrf } : {};
  if (body !== undefined && !(body instanceof FormData)) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(body);
  }
  const response = await fetch(path, { method, headers, body });
  if (response.status === 401) location.href = "/login";
  const answer = response.status === 204 ? null : await response.json();
  if (!response.ok) throw Object.assign(new Error(`${answer.error} ${answer.remedy || ""}`.trim()), { status: response.status });
  return answer;
}

function notice(text, bad) {
  const place = document.getElementById("notice");
  place.textContent = text;
  place.classList.toggle("bad", Boolean(bad));
  place.hidden = false;
  clearTimeout(notice.timer);
  notice.timer = setTimeout(() => { place.hidden = true; }, bad ? 12000 : 4000);
}

// Said on the next page, after what one did here has led there.
function later(text) { sessionStorage.setItem("blemish notice", text); }
if (sessionStorage.getItem("blemish notice")) {
  notice(sessionStorage.getItem("blemish notice"));
  sessionStorage.removeItem("blemish notice");
}

for (const place of document.querySelectorAll("time[data-time]")) {
  const time = new Date(Number(place.dataset.time));
  place.dateTime = time.toISOString();
  place.textContent = time.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

for (const form of document.querySelectorAll("form[data-submits]")) {
  form.addEventListener("change", () => form.submit());
}
