import type { Session } from '@supabase/supabase-js';
import { type ReactElement, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { type Configuration, type Connection, connect, isOperator, resume } from './data/connection';
import { messageOf } from './data/failure';
import { LiveFeed } from './data/live';
import { Pages } from './pages/Pages';
import { SignIn } from './pages/SignIn';
import { type Project, ProjectContext } from './ui/project';
import { Toasts, useToasts } from './ui/Toasts';

type Stage =
  | { readonly name: 'connecting' }
  | { readonly name: 'unreachable'; readonly why: string }
  | { readonly name: 'signed-out'; readonly connection: Connection }
  | { readonly name: 'signed-in'; readonly connection: Connection; readonly session: Session };

const CONNECT_AGAIN_MS = 2000;

/** Connect, sign in, and show the pages to whoever is signed in. */
export function App(): ReactElement {
  const [stage, setStage] = useStage();
  switch (stage.name) {
    case 'connecting':
      return <Frame />;
    case 'unreachable':
      return (
        <Frame>
          <p className="banner" role="alert">
            <b>{stage.why}</b> Start it with <code>agent-worker dev</code>. Trying again.
          </p>
        </Frame>
      );
    case 'signed-out':
      return <SignIn supabase={stage.connection.supabase} />;
    case 'signed-in':
      return (
        <SignedIn
          key={stage.session.user.id}
          connection={stage.connection}
          session={stage.session}
          onSignOut={() => {
            setStage({ name: 'signed-out', connection: stage.connection });
            void stage.connection.supabase.auth.signOut({ scope: 'local' });
          }}
        />
      );
  }
}

function useStage(): readonly [Stage, (stage: Stage) => void] {
  const [stage, setStage] = useState<Stage>({ name: 'connecting' });
  useEffect(() => {
    let isOn = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let leave: (() => void) | undefined;
    const begin = async () => {
      try {
        const { connection, configuration } = await connect();
        const session = await resume(connection.supabase, configuration as Configuration);
        if (!isOn) return;
        setStage(session ? { name: 'signed-in', connection, session } : { name: 'signed-out', connection });
        const { data } = connection.supabase.auth.onAuthStateChange((event, changed) => {
          if (event === 'SIGNED_OUT') setStage({ name: 'signed-out', connection });
          else if (changed !== null) setStage({ name: 'signed-in', connection, session: changed });
        });
        leave = () => data.subscription.unsubscribe();
      } catch (error) {
        if (!isOn) return;
        setStage({ name: 'unreachable', why: messageOf(error) });
        timer = setTimeout(begin, CONNECT_AGAIN_MS);
      }
    };
    void begin();
    return () => {
      isOn = false;
      clearTimeout(timer);
      leave?.();
    };
  }, []);
  return [stage, setStage];
}

interface SignedInProps {
  readonly connection: Connection;
  readonly session: Session;
  readonly onSignOut: () => void;
}

function SignedIn({ connection, session, onSignOut }: SignedInProps): ReactElement {
  const { toasts, say, dismiss } = useToasts();
  const { supabase, reach, url, key } = connection;
  const feed = useRef<LiveFeed>(null);
  feed.current ??= new LiveFeed(supabase, reach);
  const live = feed.current;
  useEffect(() => {
    live.start();
    return () => live.stop();
  }, [live]);
  const project = useMemo<Project>(
    () => ({ supabase, url, key, session, isOperator: isOperator(session), feed: live, say }),
    [supabase, url, key, session, live, say],
  );
  const signOut = useCallback(() => onSignOut(), [onSignOut]);
  return (
    <ProjectContext value={project}>
      <Pages onSignOut={signOut} />
      <Toasts toasts={toasts} onDismiss={dismiss} />
    </ProjectContext>
  );
}

/** The frame of `index.html`, for as long as nothing is known. */
function Frame({ children }: { children?: ReactElement }): ReactElement {
  return (
    <>
      <header className="bar">
        <span className="brand">
          <span className="brand-mark" aria-hidden="true" />
          agent-worker
        </span>
        <nav className="tabs" aria-hidden="true">
          <span>Tasks</span>
          <span>Workers</span>
          <span>Inbox</span>
          <span>Play</span>
          <span>Pipelines</span>
        </nav>
      </header>
      {children}
      <main className="page" aria-busy="true" />
    </>
  );
}
