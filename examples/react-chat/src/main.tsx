import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Chat } from './Chat';
import { signIn } from './supabase';
import './style.css';

const root = createRoot(document.getElementById('root') as HTMLElement);

signIn().then(
  () =>
    root.render(
      <StrictMode>
        <Chat />
      </StrictMode>,
    ),
  (error: Error) => root.render(<p role="alert">Not signed in: {error.message}</p>),
);
