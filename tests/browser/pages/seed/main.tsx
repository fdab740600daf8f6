import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { supabase } from '../supabase';
import { MyComponent } from './MyComponent';

await supabase.auth.signInAnonymously();
createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <MyComponent />
  </StrictMode>,
);
