import { useEffect, useRef, useState } from "preact/hooks";
import { Gate, SecretField, useAttempt } from "../components/gate.tsx";
import { api } from "../lib/api.ts";
import { navigate } from "../lib/router.ts";
import { enter } from "../lib/session.ts";
import { t } from "../texts/en.ts";

/** Where to go after signing in: an address of this interface, never another host. */
export function nextAddress(query: URLSearchParams): string {
  const next = query.get("next") ?? "";
  return /^\/(?![/\\])/.test(next) && !next.startsWith("/sign-in") && !next.startsWith("/api/")
    ? next
    : "/fleet";
}

/** One field, the token. */
export function SignIn({ query }: { query: URLSearchParams }) {
  const [token, setToken] = useState("");
  const attempt = useAttempt(t.signIn);
  const input = useRef<HTMLInputElement>(null);

  useEffect(() => {
    document.title = t.title(t.signIn.title);
    input.current?.focus();
  }, []);

  const submit = (): void => {
    const text = token.trim();
    if (text === "") {
      attempt.refuse(t.signIn.empty);
      input.current?.focus();
      return;
    }
    attempt.send(
      async () => {
        const session = await api.signIn(text);
        setToken("");
        enter(session);
        navigate(nextAddress(query), true);
      },
      () => input.current?.focus(),
    );
  };

  return (
    <Gate
      product={t.product}
      title={t.signIn.title}
      place={t.signIn.at(location.host)}
      foot={t.signIn.foot}
      attempt={attempt}
      onSubmit={submit}
    >
      {/* Names the account for a password keeper; there is one. */}
      <input type="text" name="username" autocomplete="username" value="operator" hidden readOnly />
      <SecretField
        id="token"
        label={t.signIn.token}
        hint={t.signIn.hint}
        attempt={attempt}
        value={token}
        input={input}
        onInput={setToken}
        names={t.signIn}
      />
    </Gate>
  );
}
