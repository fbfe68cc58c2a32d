#include "dispatcher.h"

int main(int argc, char **argv)
{
    return mlt_service_main(&mlt_dispatcher_spec, argc, argv);
}
