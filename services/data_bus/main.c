#include "data_bus.h"

int main(int argc, char **argv)
{
    return mlt_service_main(&mlt_data_bus_spec, argc, argv);
}
