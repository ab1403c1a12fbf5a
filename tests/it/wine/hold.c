/* hold.exe HOW FILE: opens a file as another program of the player's would, says so, and holds it until standard
 * input ends.
 *   read          for reading, as games do: others may read it, and not change or delete it
 *   alone         others may do nothing with it
 *   now-and-then  like read, but closed and opened again and again */
#include <stdio.h>
#include <windows.h>

static DWORD WINAPI end_with_input(void *unused) {
    (void)unused;
    while (getchar() != EOF) {
    }
    ExitProcess(0);
}

int wmain(int count, wchar_t **arguments) {
    if (count != 3) return 2;
    DWORD others = wcscmp(arguments[1], L"alone") == 0 ? 0 : FILE_SHARE_READ;
    BOOL closes = wcscmp(arguments[1], L"now-and-then") == 0;
    HANDLE input = CreateThread(NULL, 0, end_with_input, NULL, 0, NULL);
    for (BOOL said = FALSE;; said = TRUE) {
        HANDLE file =
            CreateFileW(arguments[2], GENERIC_READ, others, NULL, OPEN_EXISTING, 0, NULL);
        if (file == INVALID_HANDLE_VALUE && !said) return 1;
        if (!said) {
            puts("holding");
            fflush(stdout);
        }
        if (!closes) break;
        Sleep(80);
        if (file != INVALID_HANDLE_VALUE) CloseHandle(file);
        Sleep(40);
    }
    WaitForSingleObject(input, INFINITE);
    return 0;
}
