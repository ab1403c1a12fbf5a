/* bcryptprimitives.dll with the one function that Rust's library takes from it. Wine has it from version 9 on.
 * Part of the tests: a real Windows has its own. */
#include <windows.h>
#include <ntsecapi.h>

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
