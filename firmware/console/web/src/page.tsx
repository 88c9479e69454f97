/* The console's page: who is logged in, which view is shown, how fresh it is. */
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { logOut, resume } from "./api";
import { Audit } from "./audit";
import { Card } from "./card";
import type { Session } from "./contract";
import { staleMs, start, stop, useLive } from "./live";
import { LoginView } from "./login";
import { Overview } from "./overview";
import { Plans } from "./plans";
import { Policies } from "./policies";
import { setSession } from "./session";
import { Shadows } from "./shadows";
import { duration } from "./units";
import { VmView } from "./vm";

const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

function setTheme(theme: Theme): void {
  localStorage.setItem("theme", theme);
  if (theme === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  dispatchEvent(new Event("gnomon-theme"));
}

function savedTheme(): Theme {
  return THEMES.find((theme) => theme === localStorage.getItem("theme")) ?? "auto";
}

function useHash(): string[] {
  const read = () => location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const [path, setPath] = useState(read);
  useEffect(() => {
    const changed = () => {
      setPath(read());
      document.getElementById("main")?.focus();
      scrollTo(0, 0);
    };
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return path;
}

function View({ path }: { path: string[] }) {
  const [view, id] = path;
  switch (view) {
    case "vms": return id ? <VmView key={id} id={id} /> : <Overview />;
    case "plans": return <Plans />;
    case "policies": return <Policies id={id} />;
    case "shadows": return <Shadows />;
    case "card": return <Card />;
    case "audit": return <Audit />;
    default: return <Overview />;
  }
}

const VIEWS: [string, string][] = [
  ["", "Overview"], ["plans", "Plans"], ["policies", "Policies"], ["shadows", "Shadows"], ["card", "Card"], ["audit", "Audit"],
];

/* Says when what is shown is old. */
function StaleBanner() {
  const { answeredAt, error } = useLive();
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  const age = staleMs(now);
  useEffect(() => { document.body.classList.toggle("stale", age > 0); }, [age > 0]);
  if (age)
    return <p class="banner" role="alert">The card has not answered for {duration(age * 1000)}. What you see is of {new Date(answeredAt).toLocaleTimeString("en-GB")}. {error}</p>;
  if (error && !answeredAt) return <p class="banner" role="alert">{error}</p>;
  return null;
}

function Header({ view, session, leave }: { view: string; session: Session; leave: () => void }) {
  const { plans, streaming, answeredAt } = useLive();
  const [theme, choose] = useState(savedTheme());
  const waiting = plans.filter((p) => p.state === "PENDING").length;
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] as Theme;
  const current = view === "vms" ? "" : view;
  return (
    <header class="top">
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById("main")?.focus(); }}>To the content</a>
      <a class="brand" href="#/"><img src="/icon.svg" alt="" width={22} height={22} />gnomon</a>
      <nav aria-label="Views">
        {VIEWS.map(([path, name]) => (
          <a key={path} href={`#/${path}`} aria-current={path === current ? "page" : undefined}>
            {name}{path === "plans" && waiting > 0 && <span class="count"> {waiting}<span class="unseen"> waiting</span></span>}</a>
        ))}
      </nav>
      <div class="who">
        {answeredAt > 0 && <span class="fresh" role="status"><span class={streaming ? "dot live" : "dot"} />{streaming ? "live" : "polled"}</span>}
        <button type="button" class="quiet" onClick={() => { setTheme(next); choose(next); }} aria-label={`Colours: ${theme}; change to ${next}`}>
          {theme === "light" ? "☀" : theme === "dark" ? "☾" : "◐"}</button>
        <span>{session.account} <small>{session.role.toLowerCase()}</small></span>
        <button type="button" class="quiet" onClick={leave}>Log out</button>
      </div>
    </header>
  );
}

function Page() {
  const [session, change] = useState<Session | null | undefined>(undefined);
  const path = useHash();
  const enter = (next: Session | null) => {
    setSession(next);
    if (next) start(() => enter(null));
    else stop();
    change(next);
  };
  useEffect(() => { resume().then(enter, () => enter(null)); }, []);
  if (session === undefined) return null;
  if (!session) return <LoginView done={enter} />;
  return (
    <>
      <Header view={path[0] ?? ""} session={session} leave={() => { void logOut().finally(() => enter(null)); }} />
      <StaleBanner />
      <main id="main" tabIndex={-1}><View path={path} /></main>
      <footer><a href="/licences.txt">Licences of the libraries</a> <a href="/api/v1/openapi.json">API</a></footer>
    </>
  );
}

setTheme(savedTheme());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("gnomon-theme")));
render(<Page />, document.getElementById("page") as HTMLElement);
