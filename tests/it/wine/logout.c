/* logout.exe: tells every window of the desktop that the session ends, as Windows does when the user logs out. All of
 * them at once: one that hangs, as the shell's may that end with it, keeps nobody waiting. */
#include <windows.h>

#define MOST 1024

static HANDLE threads[MOST];
static int count;

static DWORD WINAPI tell(void *window) {
    DWORD_PTR answer;
    SendMessageTimeoutW(window, WM_QUERYENDSESSION, 0, 0, SMTO_NORMAL, 60000, &answer);
    SendMessageTimeoutW(window, WM_ENDSESSION, TRUE, 0, SMTO_NORMAL, 60000, &answer);
    return 0;
}

static BOOL CALLBACK begin(HWND window, LPARAM unused) {
    (void)unused;
    HANDLE thread = CreateThread(NULL, 0, tell, window, 0, NULL);
    if (thread) threads[count++] = thread;
    return count < MOST;
}

int main(void) {
    EnumWindows(begin, 0);
    for (int i = 0; i < count; i++) WaitForSingleObject(threads[i], INFINITE);
    return 0;
}
