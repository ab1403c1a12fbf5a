/* logout.exe: tells every window of the desktop that the session ends, as Windows does when the user logs out. */
#include <windows.h>

static BOOL CALLBACK tell(HWND window, LPARAM unused) {
    DWORD_PTR answer;
    (void)unused;
    SendMessageTimeoutW(window, WM_QUERYENDSESSION, 0, 0, SMTO_ABORTIFHUNG, 10000, &answer);
    SendMessageTimeoutW(window, WM_ENDSESSION, TRUE, 0, SMTO_ABORTIFHUNG, 10000, &answer);
    return TRUE;
}

int main(void) {
    EnumWindows(tell, 0);
    return 0;
}
