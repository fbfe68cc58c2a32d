#include "conductor.h"

int main(int argc, char **argv)
{
    return mlt_service_main(&mlt_conductor_spec, argc, argv);
}
