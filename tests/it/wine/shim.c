/* bcryptprimitives.dll, which Wine has from version 9 on, with the one function that Rust's library takes from
 * it; and an answer for a program's tray, which passes no click on while Wine cannot say where its icon is.
 * Part of the tests: a real Windows has its own. */
#include <windows.h>
#include <ntsecapi.h>
#include <shellapi.h>

/* RtlGenRandom, as the header calls it, is what the system exports as SystemFunction036. */
__declspec(dllexport) BOOL WINAPI ProcessPrng(BYTE *bytes, SIZE_T length) {
    while (length > 0) {
        ULONG part = length < 0x10000 ? (ULONG)length : 0x10000;
        if (!RtlGenRandom(bytes, part)) return FALSE;
        bytes += part;
        length -= part;
    }
    return TRUE;
}

/* The icon is where the mouse is: it is asked for upon a click. */
static HRESULT WINAPI icon_rect(const NOTIFYICONIDENTIFIER *icon, RECT *rect) {
    POINT mouse;
    (void)icon;
    if (!GetCursorPos(&mouse)) return E_FAIL;
    SetRect(rect, mouse.x - 8, mouse.y - 8, mouse.x + 8, mouse.y + 8);
    return S_OK;
}

/* Puts a jump to our answer at the head of Wine's function. */
static void answer_for_the_icon(void) {
    HMODULE shell = LoadLibraryW(L"shell32.dll");
    BYTE *theirs = shell ? (BYTE *)(void *)GetProcAddress(shell, "Shell_NotifyIconGetRect") : NULL;
    BYTE jump[] = {0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0}; /* mov rax, …; jmp rax */
    void *ours = (void *)icon_rect;
    DWORD protection;
    CopyMemory(jump + 2, &ours, sizeof ours);
    if (!theirs || !VirtualProtect(theirs, sizeof jump, PAGE_EXECUTE_READWRITE, &protection)) return;
    CopyMemory(theirs, jump, sizeof jump);
    VirtualProtect(theirs, sizeof jump, protection, &protection);
}

BOOL WINAPI DllMain(HINSTANCE self, DWORD reason, void *reserved) {
    (void)self, (void)reserved;
    if (reason == DLL_PROCESS_ATTACH) answer_for_the_icon();
    return TRUE;
}
