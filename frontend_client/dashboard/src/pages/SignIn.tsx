import type { SupabaseClient } from '@supabase/supabase-js';
import { type FormEvent, type ReactElement, useState } from 'react';
import { useTitle } from '../ui/hooks';

/** E-mail and password, as of any other app of the project. */
export function SignIn({ supabase }: { supabase: SupabaseClient }): ReactElement {
  useTitle('Sign in');
  const [problem, setProblem] = useState('');
  const [isBusy, setBusy] = useState(false);
  const signIn = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const typed = new FormData(event.currentTarget);
    setBusy(true);
    setProblem('');
    const { error } = await supabase.auth.signInWithPassword({
      email: String(typed.get('email')),
      password: String(typed.get('password')),
    });
    setBusy(false);
    if (error)
      setProblem(error.status === undefined || error.status === 0 ? 'The gateway does not answer.' : error.message);
  };
  return (
    <main className="sign-in">
      <form className="card" onSubmit={signIn}>
        <p className="brand">
          <span className="brand-mark" aria-hidden="true" />
          agent-worker
        </p>
        <h1>Sign in</h1>
        <div className="field">
          <label htmlFor="email">E-mail</label>
          <input id="email" name="email" type="email" autoComplete="username" required />
        </div>
        <div className="field">
          <label htmlFor="password">Password</label>
          <input id="password" name="password" type="password" autoComplete="current-password" required />
        </div>
        <p className="error" role="alert">
          {problem}
        </p>
        <button type="submit" className="primary" disabled={isBusy}>
          {isBusy ? 'Signing in…' : 'Sign in'}
        </button>
        <p className="hint">You see your own tasks; an operator sees everybody’s.</p>
      </form>
    </main>
  );
}
