/** Begin when the frame is painted: a script that is kept by the browser comes so soon that it would run before. */
const begin = () => void import('./main');

// A tab in the background paints nothing.
if (document.visibilityState === 'hidden') begin();
else requestAnimationFrame(() => setTimeout(begin));
