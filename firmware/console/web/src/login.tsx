/* Logging in; the first time with a new password. */
import { useState } from "preact/hooks";
import { ApiError, logIn } from "./api";
import type { Session } from "./contract";
import { Problem } from "./parts";

const SHORTEST = 12;

export function LoginView({ done }: { done: (session: Session) => void }) {
  const [changes, setChanges] = useState(false);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (form: HTMLFormElement) => {
    const data = new FormData(form);
    const text = (name: string) => String(data.get(name) ?? "");
    if (changes && text("new_password") !== text("again")) {
      setProblem("the new password differs from its repetition");
      return;
    }
    setBusy(true);
    setProblem("");
    try {
      done(await logIn({
        name: text("name"), password: text("password"),
        ...(text("code") && { code: text("code") }), ...(changes && { new_password: text("new_password") }),
      }));
    } catch (error) {
      if (error instanceof ApiError && error.message.includes("must be changed")) setChanges(true);
      else setProblem(error instanceof Error ? error.message : String(error));
    }
    setBusy(false);
  };
  return (
    <main class="login">
      <form class="panel" onSubmit={(e) => { e.preventDefault(); void submit(e.currentTarget); }}>
        <img src="/icon.svg" alt="" width={48} height={48} />
        <h1>gnomon</h1>
        <label>Account <input name="name" autocomplete="username" required autofocus /></label>
        <label>Password <input name="password" type="password" autocomplete="current-password" required /></label>
        {changes ? <>
          <p class="notice" role="status">This password was good for one login. Choose your own, of {SHORTEST} characters or more.</p>
          <label>New password <input name="new_password" type="password" autocomplete="new-password" required minLength={SHORTEST} /></label>
          <label>New password again <input name="again" type="password" autocomplete="new-password" required /></label>
        </> : <label>Code of the second factor, if you have one <input name="code" inputMode="numeric" autocomplete="one-time-code" pattern="[0-9]{6}" /></label>}
        <Problem text={problem} />
        <button class="primary" type="submit" disabled={busy}>{busy ? "…" : changes ? "Change and log in" : "Log in"}</button>
      </form>
    </main>
  );
}
