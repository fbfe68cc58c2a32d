#include "console.h"

int main(int argc, char **argv)
{
    return mlt_service_main(&mlt_console_spec, argc, argv);
}
