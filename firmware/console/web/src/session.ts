/* Who is logged in; decides what the page offers. The card decides what it does. */
import type { Session } from "./contract";

let session: Session | null = null;

export function setSession(next: Session | null): void {
  session = next;
}
export const currentSession = (): Session | null => session;
export const mayChange = (): boolean => session !== null && session.role !== "VIEWER";
